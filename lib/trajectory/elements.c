#include "elements.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const symbols[] = {
	"H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",  "Cl",
	"Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se",
	"Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb",
	"Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er",
	"Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At",
	"Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No",
	"Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og", "D"};

/* Sorted by strcmp(): amino acids and their variants that also come as AMBER's N- and C-terminal residues, "NALA" and
 * "CALA". */
static const char *const amino_acids[] = {"ALA", "ARG", "ASF", "ASH", "ASN", "ASP", "CYM", "CYS", "CYX", "GLH", "GLN",
										  "GLU", "GLY", "HID", "HIE", "HIP", "HIS", "HSD", "HSE", "HSP", "HYP", "ILE",
										  "LEU", "LYN", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL"};

/* Sorted by strcmp(): caps, modified residues, and the longer names of CHARMM, GROMACS and OPLS-AA. */
static const char *const other_protein[] = {
	"ACE",  "ALAD", "ARGN", "ASN1", "ASPH", "ASPP", "CME",  "CSD",  "CSO",  "CSX", "CYS1", "CYS2", "CYSH", "DAB", "FME",
	"GLUH", "GLUP", "HIS1", "HIS2", "HISA", "HISB", "HISD", "HISE", "HISH", "KCX", "LLP",  "LYSH", "M3L",  "MLY", "MLZ",
	"MSE",  "NMA",  "NME",  "OCS",  "ORN",  "PCA",  "PGLU", "PTR",  "PYL",  "QLN", "SEC",  "SEP",  "TPO",  "TYS"};

static const char *const waters[] = {"DOD", "H2O", "HHO",  "HOH",  "OH2",  "OHH",  "OPC", "SOL", "SPC", "T3P", "T4P",
									 "T5P", "TIP", "TIP2", "TIP3", "TIP4", "TIP5", "TP3", "TP4", "TP5", "WAT"};

static int compare_texts(const void *key, const void *entry) {
	return strcmp(key, *(const char *const *)entry);
}

#define HOLDS(table, text) (bsearch(text, table, sizeof table / sizeof *table, sizeof *table, compare_texts) != NULL)

const char *qmdi_element_symbol(const char *text) {
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
		if (strcasecmp(symbols[i], text) == 0)
			return symbols[i];
	return NULL;
}

int qmdi_is_protein(const char *residue_name) {
	if (HOLDS(amino_acids, residue_name) || HOLDS(other_protein, residue_name))
		return 1;
	const int is_terminal = strlen(residue_name) == 4 && (residue_name[0] == 'N' || residue_name[0] == 'C');
	return is_terminal && HOLDS(amino_acids, residue_name + 1);
}

int qmdi_is_water(const char *residue_name) {
	return HOLDS(waters, residue_name);
}

/* An ion has the name of its residue but for a charge or number: "NA" of "NA+", "ZN" of "ZN2". */
static int is_ion(const char *name, const char *residue_name) {
	const size_t length = strlen(name);
	return strncasecmp(name, residue_name, length) == 0 && !isalpha((unsigned char)residue_name[length]);
}

void qmdi_guess_element(const char *name, const char *residue_name, int two_letters, char element[4]) {
	element[0] = 0;
	while (isdigit((unsigned char)*name)) {
		name++; /* "1HB2" */
		two_letters = 0;
	}
	if (!*name)
		return;
	const char one[2] = {name[0], 0}, two[3] = {name[0], name[1], 0};
	/* Four letters beginning with H in column 13 are a hydrogen with a long name ("HG11"), not mercury. */
	if (strlen(name) > 3 && toupper((unsigned char)name[0]) == 'H')
		two_letters = 0;
	if (is_ion(name, residue_name))
		two_letters = 1;
	if (qmdi_is_protein(residue_name))
		two_letters = strcasecmp(two, "SE") == 0;
	const char *symbol = two_letters && name[1] ? qmdi_element_symbol(two) : NULL;
	if (!symbol)
		symbol = qmdi_element_symbol(one);
	if (symbol)
		memcpy(element, symbol, strlen(symbol) + 1);
}
