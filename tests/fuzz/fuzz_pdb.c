/* Topologies, from PDB files. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	qmd_topology *topology;
	if (qmd_topology_load(fuzz_file(data, size), &topology) != QMD_OK)
		return 0;
	size_t n = 0;
	qmd_topology_select(topology, "backbone or water and not hydrogen", &n, NULL);
	qmd_topology_free(topology);
	return 0;
}
