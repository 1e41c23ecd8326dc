#include "atom_map.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "text.h"

#define LINE_SIZE 1024
#define N_WORDS 10 /* state, four of an atom, "->", four of an atom */

static qmd_status fail_at(const char *path, size_t line, const char *expected, const char *found) {
	return qmdi_fail(QMD_ERROR_FORMAT, "%s: line %zu: expected %s, found '%s'", path, line, expected, found);
}

/* Cut a line into words in place; returns their number, at most N_WORDS + 1. */
static size_t split_words(char *line, char *words[N_WORDS + 1]) {
	size_t n = 0;
	char *rest = NULL;
	for (char *word = strtok_r(line, " \t\r\n", &rest); word && n <= N_WORDS; word = strtok_r(NULL, " \t\r\n", &rest))
		words[n++] = word;
	return n;
}

static qmd_status copy_word(const char *path, size_t line, const char *word, char text[8]) {
	if (strlen(word) > 7)
		return fail_at(path, line, "a name of at most 7 characters", word);
	memcpy(text, word, strlen(word) + 1);
	return QMD_OK;
}

/* Chain, residue number with insertion code, residue name, atom name. */
static qmd_status parse_atom(const char *path, size_t line, char *const words[4], qmd_atom *atom) {
	memset(atom, 0, sizeof *atom);
	if (strcmp(words[0], "-") != 0)
		QMDI_TRY(copy_word(path, line, words[0], atom->chain));
	const char *end = qmdi_parse_int32(words[1], &atom->residue_number);
	if (!end || (end[0] && end[1]))
		return fail_at(path, line, "a residue number with an insertion code or none", words[1]);
	atom->insertion_code = *end;
	QMDI_TRY(copy_word(path, line, words[2], atom->residue_name));
	return copy_word(path, line, words[3], atom->name);
}

static qmd_status add_pair(qmdi_atom_map *map, size_t *capacity, const qmdi_atom_pair *pair) {
	if (map->n_pairs == *capacity) {
		const size_t grown_capacity = *capacity ? 2 * *capacity : 64;
		qmdi_atom_pair *grown = qmdi_resize(map->pairs, grown_capacity, sizeof *grown);
		if (!grown)
			return QMD_ERROR_MEMORY;
		map->pairs = grown;
		*capacity = grown_capacity;
	}
	map->pairs[map->n_pairs] = *pair;
	map->pairs[map->n_pairs].state = qmdi_string(pair->state);
	if (!map->pairs[map->n_pairs].state)
		return QMD_ERROR_MEMORY;
	map->n_pairs++;
	return QMD_OK;
}

static qmd_status parse_line(qmdi_atom_map *map, size_t *capacity, char *text, size_t line) {
	char *words[N_WORDS + 1];
	const size_t length = strlen(text);
	if (length == LINE_SIZE - 1)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: line %zu: longer than %d characters", map->path, line, LINE_SIZE - 2);
	text[strcspn(text, "#")] = 0;
	const size_t n_words = split_words(text, words);
	if (n_words == 0)
		return QMD_OK;
	if (n_words != N_WORDS || strcmp(words[5], "->") != 0)
		return qmdi_fail(QMD_ERROR_FORMAT,
						 "%s: line %zu: expected 'state chain number residue atom -> chain number residue atom', found "
						 "%s%zu words",
						 map->path, line, n_words > N_WORDS ? "more than " : "", n_words > N_WORDS ? N_WORDS : n_words);
	qmdi_atom_pair pair = {.state = words[0], .line = line};
	QMDI_TRY(parse_atom(map->path, line, words + 1, &pair.from));
	QMDI_TRY(parse_atom(map->path, line, words + 6, &pair.to));
	return add_pair(map, capacity, &pair);
}

qmd_status qmdi_atom_map_load(const char *path, qmdi_atom_map *map) {
	char text[LINE_SIZE];
	size_t capacity = 0;
	memset(map, 0, sizeof *map);
	FILE *file = fopen(path, "rb");
	if (!file)
		return qmdi_fail(QMD_ERROR_IO, "%s: cannot open: %s", path, strerror(errno));
	map->path = qmdi_string(path);
	qmd_status status = map->path ? QMD_OK : QMD_ERROR_MEMORY;
	for (size_t line = 1; status == QMD_OK && fgets(text, sizeof text, file); line++)
		status = parse_line(map, &capacity, text, line);
	if (status == QMD_OK && ferror(file))
		status = qmdi_fail(QMD_ERROR_IO, "%s: cannot read: %s", path, strerror(errno));
	fclose(file);
	if (status != QMD_OK)
		qmdi_atom_map_release(map);
	return status;
}

void qmdi_atom_map_release(qmdi_atom_map *map) {
	for (size_t i = 0; i < map->n_pairs; i++)
		qmdi_release(map->pairs[i].state);
	qmdi_release(map->pairs);
	qmdi_release(map->path);
	memset(map, 0, sizeof *map);
}
