/* Small PDB files for the tests. */
#ifndef QMD_TESTS_PDB_FIXTURE_H
#define QMD_TESTS_PDB_FIXTURE_H

/*
 * Write a PDB file into the scratch folder and return its path. One word an atom, "chain:number:residue:atom", for
 * example "A:12B:GLY:CA" and ":1:HOH:O", separated by blanks; the atom's coordinates are its place, 0, 0.
 */
const char *qmdt_write_pdb(const char *name, const char *atoms);

#endif
