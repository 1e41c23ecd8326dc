/* Map files of data sets. */
#include "fuzz.h"
#include "trajectory/atom_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	qmdi_atom_map map = {0};
	if (qmdi_atom_map_load(fuzz_file(data, size), &map) == QMD_OK)
		qmdi_atom_map_release(&map);
	return 0;
}
