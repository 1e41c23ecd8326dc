/* The selection language. */
#include "support.h"

#include <stdint.h>
#include <stdio.h>

#include "base/random.h"
#include "pdb_fixture.h"

/* Index:        0         1          2         3         4          5          6         7         */
#define ATOMS                                                                                                          \
	"A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:1:ALA:O A:1:ALA:CB A:1:ALA:HB1 A:1:ALA:H A:2:HSD:N "                             \
	"A:2:HSD:CA B:-3:LYS:NZ B:-3:LYS:CA B:40A:GLY:CA :5:LIG:CA :6:TIP3:OH2 :6:TIP3:H1 :7:DA:O5'"
/*   8          9           10          11           12        13          14         15 */
#define N_ATOMS 16

static qmd_topology *new_topology(void) {
	qmd_topology *topology;
	qmdt_ok(qmd_topology_load(qmdt_write_pdb("selection.pdb", ATOMS), &topology));
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), N_ATOMS);
	return topology;
}

/* Selected atoms as text: "0 1 7 ". */
static const char *selected(const qmd_topology *topology, const char *selection) {
	static char text[256];
	uint32_t indices[N_ATOMS];
	size_t n = N_ATOMS, length = 0;
	qmdt_ok(qmd_topology_select(topology, selection, &n, indices));
	text[0] = 0;
	for (size_t i = 0; i < n; i++)
		length += (size_t)snprintf(text + length, sizeof text - length, "%u ", indices[i]);
	return text;
}

typedef struct selection_case {
	const char *selection, *expected;
} selection_case;

static void check_selections(const selection_case *cases, size_t n) {
	qmd_topology *topology = new_topology();
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(strcmp(selected(topology, cases[i].selection), cases[i].expected) == 0,
					  "'%s' selects %s, expected %s", cases[i].selection, selected(topology, cases[i].selection),
					  cases[i].expected);
	qmd_topology_free(topology);
}

START_TEST(selects_by_every_word) {
	static const selection_case cases[] = {
		{"all", "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 "},
		{"none", ""},
		{"protein", "0 1 2 3 4 5 6 7 8 9 10 11 "},
		{"backbone", "0 1 2 3 7 8 10 11 "},
		{"sidechain", "4 5 9 "},
		{"hydrogen", "5 6 14 "},
		{"noh", "0 1 2 3 4 7 8 9 10 11 12 13 15 "},
		{"water", "13 14 "},
		{"hetero", ""},
		{"name CA", "1 8 10 11 12 "},
		{"name N NZ O5'", "0 7 9 15 "},
		{"name \"O5'\"", "15 "},
		{"name ca", ""},
		{"resname HSD GLY", "7 8 11 "},
		{"resid 2", "7 8 "},
		{"resid -3 to 1 40", "0 1 2 3 4 5 6 9 10 11 "},
		{"resid +2 -3", "7 8 9 10 "},
		{"chain B", "9 10 11 "},
		{"chain ''", "12 13 14 15 "},
		{"chain A ''", "0 1 2 3 4 5 6 7 8 12 13 14 15 "},
		{"element n", "0 7 9 "},
		{"index 0 14 to 99", "0 14 15 "},
		{"index -1", ""},
	};
	check_selections(cases, sizeof cases / sizeof *cases);
}
END_TEST

START_TEST(binds_not_before_and_before_or) {
	static const selection_case cases[] = {
		{"name CA or chain A and name N", "0 1 7 8 10 11 12 "},
		{"(name CA or chain A) and name N", "0 7 "},
		{"chain A and name N or name CA", "0 1 7 8 10 11 12 "},
		{"not name CA and chain B", "9 "},
		{"not (name CA and chain B)", "0 1 2 3 4 5 6 7 8 9 12 13 14 15 "},
		{"not not name CA", "1 8 10 11 12 "},
		{"chain B and not not not name CA", "9 "},
		{"\tprotein\n and(resid 2)or(index 0)", "0 7 8 "},
		{"((((water))))", "13 14 "},
	};
	check_selections(cases, sizeof cases / sizeof *cases);
}
END_TEST

START_TEST(says_what_is_wrong) {
	static const struct {
		const char *selection, *part;
	} cases[] = {
		{"", "column 1: expected 'not', '('"},
		{"  ", "column 3: expected 'not', '('"},
		{"proteins", "column 1: expected 'not', '(' or a word such as 'protein', 'name' or 'resid', found 'proteins'"},
		{"Protein", "column 1"},
		{"protein and", "column 12: expected 'not', '('"},
		{"protein water", "column 9: expected 'and', 'or' or the end, found 'water'"},
		{"protein or and water", "column 12"},
		{"(protein", "column 9: expected 'and', 'or' or ')', found the end"},
		{"protein)", "column 8: expected 'and', 'or' or the end, found ')'"},
		{"()", "column 2"},
		{"name", "column 5: expected a name, found the end"},
		{"name and", "column 6: expected a name, found 'and'"},
		{"name CA (", "column 9"},
		{"name 'CA", "column 9: expected a closing quote"},
		{"resname ABCDEFGH", "column 9: expected a name of at most 7 characters"},
		{"resid", "column 6: expected a number"},
		{"resid x", "column 7: expected a number, found 'x'"},
		{"resid 5A", "column 7: expected a number, found '5A'"},
		{"resid '5'", "column 7: expected a number"},
		{"resid 5 to", "column 11: expected a number, found the end"},
		{"resid 5 to 4", "column 12: expected a number that is not below the one before 'to', found '4'"},
		{"resid to 4", "column 7"},
		{"resid 99999999999", "column 7: expected a number, found '99999999999'"},
		{"index 1 2 three", "column 11: expected a number, found 'three'"},
		{"not", "column 4"},
	};
	qmd_topology *topology = new_topology();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t n = 0;
		qmdt_fails(qmd_topology_select(topology, cases[i].selection, &n, NULL), QMD_ERROR_FORMAT, cases[i].part);
	}
	qmd_topology_free(topology);
}
END_TEST

START_TEST(counts_and_demands_room) {
	qmd_topology *topology = new_topology();
	uint32_t indices[3] = {77, 77, 77};
	size_t n = 0;
	qmdt_ok(qmd_topology_select(topology, "water", &n, NULL));
	ck_assert_uint_eq(n, 2);
	n = 1;
	qmdt_fails(qmd_topology_select(topology, "water", &n, indices), QMD_ERROR_RANGE, "2 atoms match");
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(indices[1], 77);
	n = 2;
	qmdt_ok(qmd_topology_select(topology, "water", &n, indices));
	ck_assert_uint_eq(indices[1], 14);
	ck_assert_uint_eq(indices[2], 77);
	qmdt_fails(qmd_topology_select(NULL, "all", &n, NULL), QMD_ERROR_ARGUMENT, "topology");
	qmdt_fails(qmd_topology_select(topology, NULL, &n, NULL), QMD_ERROR_ARGUMENT, "selection");
	qmdt_fails(qmd_topology_select(topology, "all", NULL, NULL), QMD_ERROR_ARGUMENT, "'n'");
	qmd_topology_free(topology);
}
END_TEST

static char *repeat(const char *before, const char *middle, const char *after, size_t n) {
	char *text = malloc(n * (strlen(before) + strlen(after)) + strlen(middle) + 1), *end = text;
	for (size_t i = 0; i < n; i++)
		end = stpcpy(end, before);
	end = stpcpy(end, middle);
	for (size_t i = 0; i < n; i++)
		end = stpcpy(end, after);
	return text;
}

/* Depth is bounded by an error, length by nothing. */
START_TEST(bounds_nesting) {
	static const struct {
		const char *before, *middle, *after;
		size_t n;
		int is_good;
	} cases[] = {{"(", "water", ")", 64, 1},
				 {"(", "water", ")", 65, 0},
				 {"(", "water", ")", 100000, 0},
				 {"none or all and (", "water", ")", 64, 1}, /* the deepest stack */
				 {"not ", "water", "", 100000, 1},
				 {"water and ", "water", "", 20000, 1},
				 {"", "index 13 14", " 13 14", 20000, 1}};
	qmd_topology *topology = new_topology();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *text = repeat(cases[i].before, cases[i].middle, cases[i].after, cases[i].n);
		size_t n = 0;
		if (cases[i].is_good)
			ck_assert_str_eq(selected(topology, text), "13 14 ");
		else
			qmdt_fails(qmd_topology_select(topology, text, &n, NULL), QMD_ERROR_FORMAT, "at most 64 deep");
		free(text);
	}
	qmd_topology_free(topology);
}
END_TEST

/*
 * Random expressions with no more parentheses than they need, beside what they mean: the set of 16 atoms as bits,
 * found from a table of the words' own sets and the operations on sets.
 */
typedef struct random_text {
	char text[8192];
	size_t length;
	uint64_t seed, drawn;
} random_text;

static uint32_t draw(random_text *random, uint32_t below) {
	return qmdi_random_u32(random->seed, 0, random->drawn++) % below;
}

static void append(random_text *random, const char *word) {
	random->length += (size_t)snprintf(random->text + random->length, sizeof random->text - random->length, "%s", word);
	ck_assert_uint_lt(random->length, sizeof random->text);
}

/* Write an expression that may stand where operators of `binding` (0 or, 1 and, 2 not) are its neighbours. */
static uint32_t write_random(random_text *random, uint32_t depth, uint32_t binding) {
	static const struct {
		const char *text;
		uint32_t set;
	} leaves[] = {{"all", 0xffff}, {"water", 0x6000}, {"chain B", 0x0e00}, {"name CA", 0x1d02}, {"index 0 to 7", 0xff}};
	const uint32_t kind = depth == 0 ? 3 : draw(random, 4);
	if (kind == 3) {
		const uint32_t leaf = draw(random, sizeof leaves / sizeof *leaves);
		append(random, leaves[leaf].text);
		return leaves[leaf].set;
	}
	const int in_parentheses = kind < binding || draw(random, 8) == 0;
	append(random, in_parentheses ? "(" : "");
	if (kind == 2)
		append(random, "not ");
	uint32_t set = write_random(random, depth - 1, kind);
	if (kind == 2) {
		set = ~set & 0xffff;
	} else {
		append(random, kind == 1 ? " and " : " or ");
		const uint32_t right = write_random(random, depth - 1, kind);
		set = kind == 1 ? set & right : set | right;
	}
	append(random, in_parentheses ? ")" : "");
	return set;
}

START_TEST(means_what_random_expressions_say) {
	qmd_topology *topology = new_topology();
	for (uint64_t seed = 0; seed < 500; seed++) {
		random_text random = {.seed = seed};
		const uint32_t expected = write_random(&random, 6, 0);
		uint32_t indices[N_ATOMS], found = 0;
		size_t n = N_ATOMS;
		qmdt_ok(qmd_topology_select(topology, random.text, &n, indices));
		for (size_t i = 0; i < n; i++)
			found |= 1u << indices[i];
		ck_assert_msg(found == expected, "'%s' selects %04x, expected %04x", random.text, found, expected);
	}
	qmd_topology_free(topology);
}
END_TEST

START_TEST(knows_residues) {
	static const char *const proteins[] = {"ALA", "TRP", "HIE", "HSP", "CYX", "NALA", "CHIP", "MSE",
										   "SEP", "ACE", "NME", "VAL", "ASP", "ALAD", "TYS",  "HISH"};
	static const char *const others[] = {"HOH", "DA", "LIG", "ALAX", "NAL", "NA", "CLA", "", "POPC", "XALA"};
	qmd_atom atom = {.name = "X"};
	qmd_topology *topology;
	size_t n = 0;
	for (size_t i = 0; i < sizeof proteins / sizeof *proteins + sizeof others / sizeof *others; i++) {
		const size_t n_proteins = sizeof proteins / sizeof *proteins;
		snprintf(atom.residue_name, sizeof atom.residue_name, "%s",
				 i < n_proteins ? proteins[i] : others[i - n_proteins]);
		qmdt_ok(qmd_topology_create(&atom, 1, &topology));
		qmdt_ok(qmd_topology_select(topology, "protein", &n, NULL));
		ck_assert_msg(n == (i < n_proteins), "'%s'", atom.residue_name);
		qmd_topology_free(topology);
	}
}
END_TEST

int main(void) {
	Suite *suite = suite_create("trajectory_selection");
	TCase *language = tcase_create("language");
	tcase_add_test(language, selects_by_every_word);
	tcase_add_test(language, binds_not_before_and_before_or);
	tcase_add_test(language, says_what_is_wrong);
	tcase_add_test(language, counts_and_demands_room);
	tcase_add_test(language, bounds_nesting);
	tcase_add_test(language, means_what_random_expressions_say);
	tcase_add_test(language, knows_residues);
	suite_add_tcase(suite, language);
	return qmdt_run(suite);
}
