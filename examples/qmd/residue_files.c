/*
 * B-factors hold the scores as they are, with as many decimals, up to 3, as their six columns take. Occupancy is 1.00
 * for atoms of residues that were scored and 0.00 for all others.
 */
#include "residue_files.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atoms.h"
#include "files.h"
#include "svg.h"
#include "workbook.h"

#define FACTOR_SIZE 7 /* six columns */
#define MAX_DECIMALS 3
#define N_TOP 10
#define NO_RESIDUE SIZE_MAX

/* ---- Atoms ---- */

static int put_atom(FILE *csv, const qmd_dataset *dataset, size_t i, uint32_t index, const profile_residue *residues) {
	qmd_atom atom;
	TRY_QMD(qmd_dataset_atom(dataset, i, &atom));
	const char insertion_code[2] = {atom.insertion_code, 0};
	fprintf(csv, "%u,", index);
	files_csv_field(csv, atom.chain);
	fprintf(csv, ",%d,", atom.residue_number);
	files_csv_field(csv, insertion_code);
	fputc(',', csv);
	files_csv_field(csv, atom.residue_name);
	fputc(',', csv);
	files_csv_field(csv, atom.name);
	fprintf(csv, ",%.9g\n", residues[atom.residue].score);
	return PROGRAM_OK;
}

static int put_atoms(FILE *csv, const qmd_dataset *dataset, const profile_residue *residues) {
	uint32_t *indices = NULL;
	int code = atoms_find(dataset, &indices);
	for (size_t i = 0; i < qmd_dataset_n_atoms(dataset) && code == PROGRAM_OK; i++)
		code = put_atom(csv, dataset, i, indices[i], residues);
	free(indices);
	return code;
}

static int write_atoms(const char *path, const qmd_dataset *dataset, const profile_residue *residues) {
	files_text text;
	if (files_text_begin(&text) != PROGRAM_OK)
		return PROGRAM_FAILED;
	fprintf(text.stream, "index,chain,number,insertion_code,name,atom,score\n");
	return files_text_end(&text, path, put_atoms(text.stream, dataset, residues));
}

/* ---- PDB ---- */

/* With the most decimals that six columns take. */
static int format_factor(double score, char text[FACTOR_SIZE]) {
	for (int decimals = MAX_DECIMALS; decimals >= 0; decimals--) {
		const int length = snprintf(text, FACTOR_SIZE, "%.*f", decimals, score);
		if (length > 0 && length < FACTOR_SIZE)
			return PROGRAM_OK;
	}
	return fail("a score of %g does not fit into a B-factor", score);
}

/* Columns 13 to 16: the name begins in the second unless the element has two letters. */
static void format_name(const qmd_atom *atom, char text[5]) {
	const int is_short = strlen(atom->name) < 4 && strlen(atom->element) < 2;
	snprintf(text, 5, is_short ? " %-3.3s" : "%-4.4s", atom->name);
}

/* Columns 18 to 22: a residue's name of three letters ends in column 20, one of four in 21; the chain ends in 22. */
static void format_residue(const qmd_atom *atom, char text[6]) {
	const size_t length = strlen(atom->chain);
	snprintf(text, 6, "%3.4s     ", atom->residue_name);
	if (length > 1)
		text[3] = atom->chain[0];
	text[4] = length > 1 ? atom->chain[1] : length == 1 ? atom->chain[0] : ' ';
}

/* Columns 23 to 27: a number of five digits runs into the column of the insertion code. */
static void format_number(const qmd_atom *atom, char text[6]) {
	const int number = atom->residue_number % 100000;
	char digits[12];
	const int is_short = snprintf(digits, sizeof digits, "%d", number) <= 4;
	snprintf(text, 6, is_short ? "%4.4s%c" : "%.5s", digits, atom->insertion_code ? atom->insertion_code : ' ');
}

static int put_record(FILE *pdb, unsigned serial, const qmd_atom *atom, const float xyz[3], const char *factor) {
	char name[5], residue[6], number[6], element[sizeof atom->element];
	format_name(atom, name);
	format_residue(atom, residue);
	format_number(atom, number);
	for (size_t i = 0; i < sizeof element; i++)
		element[i] = (char)toupper((unsigned char)atom->element[i]);
	for (size_t k = 0; k < 3; k++)
		if (!(xyz[k] > -999.9995f && xyz[k] < 9999.9995f))
			return fail("a coordinate of %g angstrom does not fit into a PDB file", (double)xyz[k]);
	fprintf(pdb, "%-6s%5u %s %s%s   %8.3f%8.3f%8.3f%6s%6s          %2.2s\n", atom->hetero ? "HETATM" : "ATOM",
			serial % 100000, name, residue, number, (double)xyz[0], (double)xyz[1], (double)xyz[2],
			factor ? "1.00" : "0.00", factor ? factor : "0.00", element);
	return PROGRAM_OK;
}

/* For each residue of the first state's topology the one that was scored, or NO_RESIDUE. */
static int map_residues(const qmd_dataset *dataset, size_t *map) {
	const qmd_topology *topology = qmd_dataset_topology(dataset, 0);
	for (size_t r = 0; r < qmd_topology_n_residues(topology); r++)
		map[r] = NO_RESIDUE;
	uint32_t *indices = NULL;
	TRY(atoms_find(dataset, &indices));
	qmd_status status = QMD_OK;
	for (size_t i = 0; i < qmd_dataset_n_atoms(dataset) && status == QMD_OK; i++) {
		qmd_atom shared, own;
		status = qmd_dataset_atom(dataset, i, &shared);
		if (status == QMD_OK)
			status = qmd_topology_atom(topology, indices[i], &own);
		if (status == QMD_OK)
			map[own.residue] = shared.residue;
	}
	free(indices);
	return status == QMD_OK ? PROGRAM_OK : fail_status(status);
}

/* What a structure is written from. */
typedef struct structure {
	const qmd_topology *topology;
	size_t n_chosen;
	uint32_t *chosen; /* atoms, all but water */
	float *xyz;       /* of all atoms */
	size_t *map;      /* map_residues() */
} structure;

static int read_structure(structure *s, const qmd_dataset *dataset) {
	s->topology = qmd_dataset_topology(dataset, 0);
	s->n_chosen = qmd_topology_n_atoms(s->topology);
	s->chosen = calloc(s->n_chosen + 1, sizeof *s->chosen);
	s->xyz = calloc(s->n_chosen + 1, 3 * sizeof *s->xyz);
	s->map = calloc(qmd_topology_n_residues(s->topology) + 1, sizeof *s->map);
	if (!s->chosen || !s->xyz || !s->map)
		return fail_memory();
	TRY_QMD(qmd_topology_coordinates(s->topology, s->xyz));
	TRY_QMD(qmd_topology_select(s->topology, "not water", &s->n_chosen, s->chosen));
	return map_residues(dataset, s->map);
}

static int put_structure(FILE *pdb, const structure *s, const profile_residue *residues) {
	fprintf(pdb, "REMARK 999 B-FACTORS ARE SCORES OF RESIDUES; OCCUPANCY 0: NOT SCORED\n");
	for (unsigned i = 0; i < s->n_chosen; i++) {
		qmd_atom atom;
		char factor[FACTOR_SIZE];
		TRY_QMD(qmd_topology_atom(s->topology, s->chosen[i], &atom));
		const size_t residue = s->map[atom.residue];
		if (residue != NO_RESIDUE)
			TRY(format_factor(residues[residue].score, factor));
		TRY(put_record(pdb, i + 1, &atom, s->xyz + 3 * (size_t)s->chosen[i], residue == NO_RESIDUE ? NULL : factor));
	}
	fprintf(pdb, "END\n");
	return PROGRAM_OK;
}

static int write_pdb(const char *path, const qmd_dataset *dataset, const profile_residue *residues) {
	files_text text;
	if (files_text_begin(&text) != PROGRAM_OK)
		return PROGRAM_FAILED;
	structure s = {0};
	int code = read_structure(&s, dataset);
	if (code == PROGRAM_OK)
		code = put_structure(text.stream, &s, residues);
	free(s.chosen);
	free(s.xyz);
	free(s.map);
	return files_text_end(&text, path, code);
}

/* ---- Scripts ---- */

__attribute__((format(printf, 3, 4))) static int write_text(const char *folder, const char *name, const char *format,
															...) {
	char *text = NULL, *path = files_path(folder, "%s", name);
	va_list values;
	va_start(values, format);
	const int length = vasprintf(&text, format, values);
	va_end(values);
	const int code = path && length >= 0 ? files_write(path, text, (size_t)length) : fail_memory();
	if (length >= 0)
		free(text);
	free(path);
	return code;
}

/* From -largest to +largest; the top residues are those with a B-factor above `threshold`. */
static int write_scripts(const char *folder, double largest, double threshold) {
	TRY(write_text(folder, "residues.pml",
				   "# In this folder: pymol residues.pml\n"
				   "load residues.pdb, residues\n"
				   "hide everything, residues\n"
				   "show cartoon, residues and polymer\n"
				   "color grey60, residues\n"
				   "spectrum b, blue_white_red, residues and q > 0.5, minimum=-%g, maximum=%g\n"
				   "select top, residues and q > 0.5 and b > %g\n"
				   "show sticks, top\n"
				   "deselect\n"
				   "orient residues\n",
				   largest, largest, threshold));
	TRY(write_text(folder, "residues.vmd",
				   "# In this folder: vmd -e residues.vmd\n"
				   "mol new residues.pdb type pdb waitfor all\n"
				   "mol delrep 0 top\n"
				   "mol color Beta\n"
				   "mol representation NewCartoon\n"
				   "mol selection {protein}\n"
				   "mol addrep top\n"
				   "mol representation Licorice\n"
				   "mol selection {occupancy > 0.5 and beta > %g}\n"
				   "mol addrep top\n"
				   "mol scaleminmax top 0 -%g %g\n"
				   "mol scaleminmax top 1 -%g %g\n"
				   "color scale method BWR\n",
				   threshold, largest, largest, largest, largest));
	return write_text(folder, "residues.cxc",
					  "# In this folder: chimerax residues.cxc\n"
					  "open residues.pdb\n"
					  "hide atoms\n"
					  "show cartoons\n"
					  "color byattribute bfactor palette blue:white:red range -%g,%g\n"
					  "color @@occupancy<0.5 gray\n"
					  "show @@occupancy>0.5 & @@bfactor>%g atoms\n",
					  largest, largest, threshold);
}

/* Half a unit of the last decimal below the B-factor of rank 10. */
static int choose_threshold(const profile_residue *residues, size_t n, double *threshold) {
	char factor[FACTOR_SIZE] = "";
	for (size_t r = 0; r < n; r++)
		if (residues[r].rank == (n < N_TOP ? n : N_TOP))
			TRY(format_factor(residues[r].score, factor));
	const char *point = strchr(factor, '.');
	const double unit = point ? pow(10.0, -(double)strlen(point + 1)) : 1.0;
	*threshold = strtod(factor, NULL) - 0.5 * unit;
	return PROGRAM_OK;
}

static int write_structure(const char *folder, const qmd_dataset *dataset, const profile_residue *residues,
						   size_t n_residues) {
	char *atoms = files_path(folder, "atoms.csv"), *pdb = files_path(folder, "residues.pdb");
	int code = atoms && pdb ? write_atoms(atoms, dataset, residues) : fail_memory();
	if (code == PROGRAM_OK)
		code = write_pdb(pdb, dataset, residues);
	free(atoms);
	free(pdb);
	TRY(code);
	double largest = 0, threshold;
	for (size_t r = 0; r < n_residues; r++)
		largest = fmax(largest, fabs(residues[r].score));
	TRY(choose_threshold(residues, n_residues, &threshold));
	return write_scripts(folder, largest > 0 ? largest : 1, threshold); /* a scale needs a width */
}

int residue_files_write(const char *folder, const qmd_dataset *dataset, const profile_residue *residues,
						size_t n_residues, const char *title) {
	char *csv = files_path(folder, "residues.csv"), *svg = files_path(folder, "residues.svg");
	char *workbook = files_path(folder, "residues.xlsx");
	int code = csv && svg && workbook ? residues_write_csv(csv, residues, n_residues) : fail_memory();
	if (code == PROGRAM_OK)
		code = svg_write_profile(svg, residues, n_residues, title);
	if (code == PROGRAM_OK && workbook_is_built())
		code = workbook_write(workbook, dataset, residues, n_residues);
	free(csv);
	free(svg);
	free(workbook);
	TRY(code);
	return write_structure(folder, dataset, residues, n_residues);
}
