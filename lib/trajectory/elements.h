/* Chemical elements, and the residue names that selections know. */
#ifndef QMD_LIB_ELEMENTS_H
#define QMD_LIB_ELEMENTS_H

#include <stddef.h>

/* The usual spelling ("Cl") of a symbol in any case; NULL if there is no such element. "D" is one. Static text. */
const char *qmdi_element_symbol(const char *text);

/*
 * The element of an atom by its name; "" if nothing fits. In a protein "CA" and "HG" are carbon and hydrogen; elsewhere
 * `two_letters` says that the name's first two letters may be one symbol, as in a PDB name that begins in column 13. In
 * ions, whose residue is named like them, they always may.
 */
void qmdi_guess_element(const char *name, const char *residue_name, int two_letters, char element[4]);

/* Residues of proteins: the 20, their protonation states and terminal forms in the common force fields, frequent
 * modifications and the caps ACE, NME and NMA. */
int qmdi_is_protein(const char *residue_name);

/* Water, by the names that force fields and the PDB give it. */
int qmdi_is_water(const char *residue_name);

#endif
