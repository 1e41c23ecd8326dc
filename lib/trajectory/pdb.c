/* PDB files by their columns (wwPDB format 3.3), which are counted from 1 as the format's own tables do. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "elements.h"
#include "text.h"
#include "topology_internal.h"

#define LINE_SIZE 256 /* of longer lines the rest is skipped; the format ends at column 80 */
#define FIELD_SIZE 16

typedef struct pdb_atom {
	qmd_atom atom;
	float xyz[3];
	double occupancy;
	char location;  /* alternate location; ' ' for none */
	char column_21; /* the last letter of the residue's name, until split_long_chains() says otherwise */
	uint32_t lap;   /* how often residue numbers have started again */
} pdb_atom;

typedef struct pdb_reader {
	const char *path;
	FILE *file;
	size_t line_number;
	char line[LINE_SIZE];
	size_t length; /* of the line, without its end */
	pdb_atom *atoms;
	size_t n_atoms, capacity;
} pdb_reader;

static char column(const pdb_reader *reader, size_t at) {
	return at <= reader->length ? reader->line[at - 1] : ' ';
}

/* Columns first to last without the blanks around; `field` has room for them and a NUL. */
static void get_field(const pdb_reader *reader, size_t first, size_t last, char *field) {
	while (first <= last && column(reader, first) == ' ')
		first++;
	while (last >= first && column(reader, last) == ' ')
		last--;
	size_t n = 0;
	for (size_t at = first; at <= last; at++)
		field[n++] = column(reader, at);
	field[n] = 0;
}

static qmd_status fail_at(const pdb_reader *reader, qmd_status status, size_t at, const char *expected,
						  const char *found) {
	return qmdi_fail(status, "%s: line %zu, column %zu: expected %s, found '%s'", reader->path, reader->line_number, at,
					 expected, found);
}

/* The next line, cut to LINE_SIZE; 0 at the end of the file. */
static int next_line(pdb_reader *reader) {
	if (!fgets(reader->line, sizeof reader->line, reader->file))
		return 0;
	reader->line_number++;
	reader->length = strlen(reader->line);
	int last = reader->length > 0 ? reader->line[reader->length - 1] : 0;
	if (reader->length == sizeof reader->line - 1)
		while (last != '\n' && last != EOF)
			last = getc(reader->file);
	while (reader->length > 0 && strchr("\r\n", reader->line[reader->length - 1]))
		reader->line[--reader->length] = 0;
	return 1;
}

static qmd_status get_coordinate(const pdb_reader *reader, size_t first, float *coordinate) {
	char field[FIELD_SIZE];
	double value;
	get_field(reader, first, first + 7, field);
	if (!qmdi_parse_decimal(field, &value))
		return fail_at(reader, QMD_ERROR_FORMAT, first, "a coordinate", field);
	if (!isfinite(value) || !isfinite((float)value))
		return fail_at(reader, QMD_ERROR_RANGE, first, "a finite coordinate", field);
	*coordinate = (float)value;
	return QMD_OK;
}

/* Hybrid-36 (cctbx): after 9999 comes A000 = 10000, and after ZZZZ comes a000. */
static int parse_hybrid36(const char *field, int32_t *number) {
	if (strlen(field) != 4 || !isalpha((unsigned char)field[0]))
		return 0;
	const int upper = isupper((unsigned char)field[0]) != 0;
	int32_t value = 0;
	for (size_t i = 0; i < 4; i++) {
		const unsigned char c = (unsigned char)field[i];
		if (!isdigit(c) && !(upper ? isupper(c) : islower(c)))
			return 0;
		value = value * 36 + (isdigit(c) ? c - '0' : toupper(c) - 'A' + 10);
	}
	*number = value - 10 * 36 * 36 * 36 + 10000 + (upper ? 0 : 26 * 36 * 36 * 36);
	return 1;
}

static qmd_status get_residue_number(const pdb_reader *reader, qmd_atom *atom) {
	char field[FIELD_SIZE];
	/* A digit is no insertion code: writers of large systems let the number run into column 27. */
	const int is_long = isdigit((unsigned char)column(reader, 27));
	get_field(reader, 23, is_long ? 27 : 26, field);
	if (!is_long && column(reader, 27) != ' ')
		atom->insertion_code = column(reader, 27);
	if (parse_hybrid36(field, &atom->residue_number))
		return QMD_OK;
	const char *end = qmdi_parse_int32(field, &atom->residue_number);
	if (!end || *end)
		return fail_at(reader, QMD_ERROR_FORMAT, 23, "a residue number", field);
	return QMD_OK;
}

static void get_element(const pdb_reader *reader, qmd_atom *atom) {
	char field[FIELD_SIZE];
	get_field(reader, 77, 78, field);
	const char *symbol = qmdi_element_symbol(field);
	if (symbol)
		memcpy(atom->element, symbol, strlen(symbol) + 1);
	else
		qmdi_guess_element(atom->name, atom->residue_name, isalpha((unsigned char)column(reader, 13)), atom->element);
}

static qmd_status check_characters(const pdb_reader *reader) {
	for (size_t i = 0; i < reader->length; i++)
		if (reader->line[i] < ' ' || reader->line[i] > '~')
			return qmdi_fail(QMD_ERROR_FORMAT, "%s: line %zu, column %zu: expected text, found byte %d", reader->path,
							 reader->line_number, i + 1, (unsigned char)reader->line[i]);
	return QMD_OK;
}

static qmd_status parse_atom(const pdb_reader *reader, pdb_atom *parsed) {
	char field[FIELD_SIZE];
	qmd_atom *atom = &parsed->atom;
	memset(parsed, 0, sizeof *parsed);
	QMDI_TRY(check_characters(reader));
	get_field(reader, 13, 16, atom->name);
	if (!atom->name[0])
		return fail_at(reader, QMD_ERROR_FORMAT, 13, "an atom name", "");
	get_field(reader, 18, 21, atom->residue_name); /* column 21: four-letter names of force fields */
	parsed->column_21 = column(reader, 21);
	get_field(reader, 22, 22, atom->chain);
	atom->hetero = reader->line[0] == 'H';
	QMDI_TRY(get_residue_number(reader, atom));
	for (size_t axis = 0; axis < 3; axis++)
		QMDI_TRY(get_coordinate(reader, 31 + 8 * axis, &parsed->xyz[axis]));
	get_element(reader, atom);
	parsed->location = column(reader, 17);
	/* Occupancies only order alternate locations: where one is missing or no number it counts as 0. */
	get_field(reader, 55, 60, field);
	if (!qmdi_parse_decimal(field, &parsed->occupancy) || !isfinite(parsed->occupancy))
		parsed->occupancy = 0;
	return QMD_OK;
}

/* Writers that run out of columns for residue numbers let 0 or 1 follow 9999 or 99999. */
static uint32_t count_laps(const pdb_reader *reader, int32_t number) {
	if (reader->n_atoms == 0)
		return 0;
	const pdb_atom *before = &reader->atoms[reader->n_atoms - 1];
	const int32_t last = before->atom.residue_number;
	return before->lap + ((last == 9999 || last == 99999) && (number == 0 || number == 1));
}

static qmd_status add_atom(pdb_reader *reader) {
	if (reader->n_atoms == reader->capacity) {
		const size_t capacity = reader->capacity ? 2 * reader->capacity : 1024;
		pdb_atom *grown = qmdi_resize(reader->atoms, capacity, sizeof *grown);
		if (!grown)
			return QMD_ERROR_MEMORY;
		reader->atoms = grown;
		reader->capacity = capacity;
	}
	if (reader->n_atoms >= QMDI_MAX_ATOMS)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: line %zu: more than %zu atoms", reader->path, reader->line_number,
						 QMDI_MAX_ATOMS);
	pdb_atom *parsed = &reader->atoms[reader->n_atoms];
	QMDI_TRY(parse_atom(reader, parsed));
	parsed->lap = count_laps(reader, parsed->atom.residue_number);
	reader->n_atoms++;
	return QMD_OK;
}

static int is_end(const pdb_reader *reader) {
	char record[FIELD_SIZE];
	get_field(reader, 1, 6, record);
	return strcmp(record, "END") == 0 || strcmp(record, "ENDMDL") == 0;
}

/* Atoms of the first model. */
static qmd_status read_atoms(pdb_reader *reader) {
	while (next_line(reader)) {
		/* Serial numbers beyond 99999 may run into column 6. */
		if (strncmp(reader->line, "ATOM", 4) == 0 || strncmp(reader->line, "HETATM", 6) == 0)
			QMDI_TRY(add_atom(reader));
		else if (is_end(reader))
			break;
	}
	if (ferror(reader->file))
		return qmdi_fail(QMD_ERROR_IO, "%s: cannot read: %s", reader->path, strerror(errno));
	if (reader->n_atoms == 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: expected ATOM or HETATM records, found none in %zu lines", reader->path,
						 reader->line_number);
	return QMD_OK;
}

static int is_known(const char *residue_name) {
	return qmdi_is_protein(residue_name) || qmdi_is_water(residue_name);
}

/* Whether a residue is known by three letters and unknown by four: then column 21 is the first letter of its chain. */
static int shows_long_chain(const pdb_atom *parsed) {
	char short_name[sizeof parsed->atom.residue_name];
	if (parsed->column_21 == ' ' || !parsed->atom.chain[0] || is_known(parsed->atom.residue_name))
		return 0;
	memcpy(short_name, parsed->atom.residue_name, sizeof short_name);
	short_name[strlen(short_name) - 1] = 0;
	return is_known(short_name);
}

/*
 * Writers that run out of letters for chains let their names of two begin in column 21, where force fields put the
 * fourth letter of a residue. One residue that is known tells which of the two a file does.
 */
static void split_long_chains(const pdb_reader *reader) {
	size_t first = 0;
	while (first < reader->n_atoms && !shows_long_chain(&reader->atoms[first]))
		first++;
	if (first == reader->n_atoms)
		return;
	for (size_t i = 0; i < reader->n_atoms; i++) {
		pdb_atom *parsed = &reader->atoms[i];
		const size_t length = strlen(parsed->atom.residue_name);
		if (parsed->column_21 == ' ' || !parsed->atom.chain[0] || length < 2 || is_known(parsed->atom.residue_name))
			continue;
		parsed->atom.residue_name[length - 1] = 0;
		memmove(parsed->atom.chain + 1, parsed->atom.chain, 2);
		parsed->atom.chain[0] = parsed->column_21;
	}
}

/* 0: locations of one atom. */
static int compare_atoms(const pdb_atom *a, const pdb_atom *b) {
	return a->lap != b->lap ? (a->lap < b->lap ? -1 : 1) : qmdi_compare_identity(&a->atom, &b->atom);
}

/* Locations of one atom stand together, the one to keep first. */
static int compare_locations(const void *first, const void *second, void *context) {
	const pdb_atom *atoms = context;
	const size_t i = *(const size_t *)first, j = *(const size_t *)second;
	const int order = compare_atoms(&atoms[i], &atoms[j]);
	if (order != 0)
		return order;
	if (atoms[i].occupancy != atoms[j].occupancy)
		return atoms[i].occupancy > atoms[j].occupancy ? -1 : 1;
	return i < j ? -1 : 1;
}

/* Of atoms with alternate locations keep one. */
static qmd_status choose_locations(pdb_reader *reader) {
	pdb_atom *atoms = reader->atoms;
	size_t *located = qmdi_array(reader->n_atoms, sizeof *located);
	if (!located)
		return QMD_ERROR_MEMORY;
	size_t n_located = 0, n_kept = 0;
	for (size_t i = 0; i < reader->n_atoms; i++)
		if (atoms[i].location != ' ')
			located[n_located++] = i;
	qsort_r(located, n_located, sizeof *located, compare_locations, atoms);
	const char dropped = 0;
	for (size_t i = 1; i < n_located; i++)
		if (compare_atoms(&atoms[located[i]], &atoms[located[i - 1]]) == 0)
			atoms[located[i]].location = dropped;
	for (size_t i = 0; i < reader->n_atoms; i++)
		if (atoms[i].location != dropped)
			atoms[n_kept++] = atoms[i];
	if (n_kept < reader->n_atoms)
		qmdi_log(QMD_LOG_WARNING,
				 "%s: some atoms have alternate locations: the likeliest of each is kept, %zu others are left out",
				 reader->path, reader->n_atoms - n_kept);
	reader->n_atoms = n_kept;
	qmdi_release(located);
	return QMD_OK;
}

static qmd_status make_topology(const pdb_reader *reader, qmd_topology **topology) {
	qmd_atom *atoms = qmdi_array(reader->n_atoms, sizeof *atoms);
	float *xyz = qmdi_array(reader->n_atoms, 3 * sizeof *xyz);
	if (!atoms || !xyz) {
		qmdi_release(atoms);
		qmdi_release(xyz);
		return QMD_ERROR_MEMORY;
	}
	for (size_t i = 0; i < reader->n_atoms; i++) {
		atoms[i] = reader->atoms[i].atom;
		memcpy(&xyz[3 * i], reader->atoms[i].xyz, sizeof reader->atoms[i].xyz);
	}
	return qmdi_topology_take(atoms, reader->n_atoms, xyz, topology);
}

qmd_status qmd_topology_load(const char *path, qmd_topology **topology) {
	QMDI_REQUIRE(topology);
	*topology = NULL;
	QMDI_REQUIRE(path);
	pdb_reader reader = {.path = path, .file = fopen(path, "rb")};
	if (!reader.file)
		return qmdi_fail(QMD_ERROR_IO, "%s: cannot open: %s", path, strerror(errno));
	qmd_status status = read_atoms(&reader);
	if (status == QMD_OK) {
		split_long_chains(&reader);
		status = choose_locations(&reader);
	}
	if (status == QMD_OK)
		status = make_topology(&reader, topology);
	fclose(reader.file);
	qmdi_release(reader.atoms);
	return status;
}
