/* Selections, as texts. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static qmd_topology *make_topology(void) {
	static const qmd_atom atoms[] = {{.name = "N", .residue_name = "ALA", .chain = "A", .residue_number = 1},
									 {.name = "CA", .residue_name = "ALA", .chain = "A", .residue_number = 1},
									 {.name = "OH2", .residue_name = "TIP3", .residue_number = -2, .hetero = 1},
									 {.name = "ZN", .residue_name = "ZN", .chain = "B", .residue_number = 2000000}};
	qmd_topology *topology;
	if (qmd_topology_create(atoms, sizeof atoms / sizeof *atoms, &topology) != QMD_OK)
		abort();
	return topology;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static qmd_topology *topology;
	fuzz_limit_memory(size);
	if (!topology)
		topology = make_topology();
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	uint32_t indices[4];
	size_t n = 4;
	if (qmd_topology_select(topology, text, &n, indices) == QMD_OK && n > 4)
		abort();
	free(text);
	return 0;
}
