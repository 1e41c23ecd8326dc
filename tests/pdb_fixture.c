#include "pdb_fixture.h"

#include <stdio.h>

#include "support.h"

static void write_atom(FILE *file, int serial, char *word) {
	char *fields[4] = {word};
	for (int i = 1; i < 4; i++) {
		fields[i] = strchr(fields[i - 1], ':');
		ck_assert_ptr_nonnull(fields[i]);
		*fields[i]++ = 0;
	}
	char *insertion_code;
	const long number = strtol(fields[1], &insertion_code, 10);
	/* Short names begin in the second of their columns; long residue names end in the one after theirs. */
	const char *atom_pad = strlen(fields[3]) > 3 ? "" : " ", *residue_pad = strlen(fields[2]) > 3 ? "" : " ";
	fprintf(file, "ATOM  %5d %s%-*s %3s%s%1s%4ld%1s   %8.3f%8.3f%8.3f  1.00  0.00\n", serial, atom_pad,
			*atom_pad ? 3 : 4, fields[3], fields[2], residue_pad, fields[0], number, insertion_code,
			(double)(serial - 1), 0.0, 0.0);
}

const char *qmdt_write_pdb(const char *name, const char *atoms) {
	const char *path = qmdt_scratch(name);
	FILE *file = fopen(path, "w");
	char *copy = strdup(atoms), *rest = NULL;
	int serial = 0;
	ck_assert_ptr_nonnull(file);
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		write_atom(file, ++serial, word);
	fprintf(file, "END\n");
	ck_assert_int_eq(fclose(file), 0);
	free(copy);
	return path;
}
