/*
 * Selections are parsed by recursive descent into a program in postfix order, which runs on a stack of truth values.
 *
 *     expression = term { "or" term }
 *     term       = factor { "and" factor }
 *     factor     = { "not" } ( "(" expression ")" | predicate | list values )
 */
#include "selection.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "elements.h"
#include "text.h"

#define MAX_NESTING 64                   /* of parentheses */
#define STACK_SIZE (2 * MAX_NESTING + 4) /* a level holds at most one `or` and one `and` operand */
#define QUOTED_SIZE 60                   /* of a text, in messages */
#define VALUE_SIZE 8                     /* of the texts of a qmd_atom */

typedef enum step_operation {
	OP_ALL,
	OP_NONE,
	OP_PROTEIN,
	OP_BACKBONE,
	OP_SIDECHAIN,
	OP_HYDROGEN,
	OP_NOH,
	OP_WATER,
	OP_HETERO,
	OP_NAME,
	OP_RESNAME,
	OP_CHAIN,
	OP_ELEMENT,
	OP_RESID,
	OP_INDEX,
	OP_AND,
	OP_OR,
	OP_NOT
} step_operation;

/* The words that may begin a factor, and what follows them. */
typedef enum word_arguments { TAKES_NOTHING, TAKES_TEXTS, TAKES_NUMBERS } word_arguments;

static const struct word {
	const char *text;
	step_operation operation;
	word_arguments arguments;
} words[] = {{"all", OP_ALL, TAKES_NOTHING},
			 {"none", OP_NONE, TAKES_NOTHING},
			 {"protein", OP_PROTEIN, TAKES_NOTHING},
			 {"backbone", OP_BACKBONE, TAKES_NOTHING},
			 {"sidechain", OP_SIDECHAIN, TAKES_NOTHING},
			 {"hydrogen", OP_HYDROGEN, TAKES_NOTHING},
			 {"noh", OP_NOH, TAKES_NOTHING},
			 {"water", OP_WATER, TAKES_NOTHING},
			 {"hetero", OP_HETERO, TAKES_NOTHING},
			 {"name", OP_NAME, TAKES_TEXTS},
			 {"resname", OP_RESNAME, TAKES_TEXTS},
			 {"chain", OP_CHAIN, TAKES_TEXTS},
			 {"element", OP_ELEMENT, TAKES_TEXTS},
			 {"resid", OP_RESID, TAKES_NUMBERS},
			 {"index", OP_INDEX, TAKES_NUMBERS}};

/* A text, or the numbers low to high. */
typedef struct listed_value {
	char text[VALUE_SIZE];
	int32_t low, high;
} listed_value;

typedef struct program_step {
	step_operation operation;
	size_t first_value, n_values;
} program_step;

struct qmdi_selection {
	program_step *steps;
	listed_value *values;
	size_t n_steps, n_values;
};

/* ---- Tokens ---- */

typedef enum token_kind { TOKEN_END, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_WORD, TOKEN_QUOTED } token_kind;

typedef struct selection_parser {
	const char *text;
	token_kind kind;
	const char *token; /* where it begins */
	const char *start; /* its characters, without quotes */
	size_t length;
	const char *next; /* first character after the token */
	size_t nesting;
	qmdi_selection *selection;
	size_t step_capacity, value_capacity;
} selection_parser;

static qmd_status fail_expecting(const selection_parser *parser, const char *expected) {
	const char *cut = strlen(parser->text) > QUOTED_SIZE ? "..." : "";
	const size_t at = (size_t)(parser->token - parser->text) + 1;
	if (parser->kind == TOKEN_END)
		return qmdi_fail(QMD_ERROR_FORMAT, "selection '%.*s%s': column %zu: expected %s, found the end", QUOTED_SIZE,
						 parser->text, cut, at, expected);
	const size_t length = parser->length < QUOTED_SIZE ? parser->length : QUOTED_SIZE;
	return qmdi_fail(QMD_ERROR_FORMAT, "selection '%.*s%s': column %zu: expected %s, found '%.*s'", QUOTED_SIZE,
					 parser->text, cut, at, expected, (int)length, parser->start);
}

static qmd_status read_quoted(selection_parser *parser) {
	const char *end = strchr(parser->token + 1, *parser->token);
	if (!end) {
		parser->kind = TOKEN_END;
		parser->token += strlen(parser->token);
		return fail_expecting(parser, "a closing quote");
	}
	parser->kind = TOKEN_QUOTED;
	parser->start = parser->token + 1;
	parser->length = (size_t)(end - parser->start);
	parser->next = end + 1;
	return QMD_OK;
}

static qmd_status advance(selection_parser *parser) {
	const char *at = parser->next;
	while (isspace((unsigned char)*at))
		at++;
	parser->token = parser->start = at;
	if (*at == '"' || *at == '\'')
		return read_quoted(parser);
	parser->length = *at ? 1 : 0;
	if (!*at)
		parser->kind = TOKEN_END;
	else if (*at == '(')
		parser->kind = TOKEN_OPEN;
	else if (*at == ')')
		parser->kind = TOKEN_CLOSE;
	else {
		parser->kind = TOKEN_WORD;
		parser->length = strcspn(at, " \t\r\n\v\f()");
	}
	parser->next = at + parser->length;
	return QMD_OK;
}

static int is_word(const selection_parser *parser, const char *text) {
	return parser->kind == TOKEN_WORD && parser->length == strlen(text) &&
		   memcmp(parser->start, text, parser->length) == 0;
}

static const struct word *find_word(const selection_parser *parser) {
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (is_word(parser, words[i].text))
			return &words[i];
	return NULL;
}

/* A word that cannot be a value because it goes on with the expression; in quotes it can. */
static int is_reserved(const selection_parser *parser) {
	return is_word(parser, "and") || is_word(parser, "or") || is_word(parser, "not") || is_word(parser, "to") ||
		   find_word(parser);
}

/* ---- Program ---- */

static qmd_status emit(selection_parser *parser, step_operation operation, size_t first_value) {
	qmdi_selection *selection = parser->selection;
	if (selection->n_steps == parser->step_capacity) {
		const size_t capacity = 2 * parser->step_capacity + 8;
		program_step *grown = qmdi_resize(selection->steps, capacity, sizeof *grown);
		if (!grown)
			return QMD_ERROR_MEMORY;
		selection->steps = grown;
		parser->step_capacity = capacity;
	}
	selection->steps[selection->n_steps++] = (program_step){operation, first_value, selection->n_values - first_value};
	return QMD_OK;
}

static qmd_status add_value(selection_parser *parser, const listed_value *value) {
	qmdi_selection *selection = parser->selection;
	if (selection->n_values == parser->value_capacity) {
		const size_t capacity = 2 * parser->value_capacity + 8;
		listed_value *grown = qmdi_resize(selection->values, capacity, sizeof *grown);
		if (!grown)
			return QMD_ERROR_MEMORY;
		selection->values = grown;
		parser->value_capacity = capacity;
	}
	selection->values[selection->n_values++] = *value;
	return QMD_OK;
}

/* ---- Grammar ---- */

static qmd_status parse_texts(selection_parser *parser) {
	do {
		listed_value value = {{0}, 0, 0};
		if ((parser->kind != TOKEN_WORD && parser->kind != TOKEN_QUOTED) || is_reserved(parser))
			return fail_expecting(parser, "a name");
		if (parser->length >= VALUE_SIZE)
			return fail_expecting(parser, "a name of at most 7 characters");
		memcpy(value.text, parser->start, parser->length);
		QMDI_TRY(add_value(parser, &value));
		QMDI_TRY(advance(parser));
	} while (parser->kind == TOKEN_QUOTED || (parser->kind == TOKEN_WORD && !is_reserved(parser)));
	return QMD_OK;
}

static qmd_status parse_number(selection_parser *parser, int32_t *number) {
	const char *end = parser->kind == TOKEN_WORD ? qmdi_parse_int32(parser->start, number) : NULL;
	if (!end || end != parser->start + parser->length)
		return fail_expecting(parser, "a number");
	return advance(parser);
}

static qmd_status parse_numbers(selection_parser *parser) {
	do {
		listed_value value = {{0}, 0, 0};
		QMDI_TRY(parse_number(parser, &value.low));
		value.high = value.low;
		if (is_word(parser, "to")) {
			QMDI_TRY(advance(parser));
			const selection_parser at_high = *parser;
			QMDI_TRY(parse_number(parser, &value.high));
			if (value.high < value.low)
				return fail_expecting(&at_high, "a number that is not below the one before 'to'");
		}
		QMDI_TRY(add_value(parser, &value));
	} while (parser->kind == TOKEN_WORD && !is_reserved(parser));
	return QMD_OK;
}

static qmd_status parse_expression(selection_parser *parser);

static qmd_status parse_parentheses(selection_parser *parser) {
	if (++parser->nesting > MAX_NESTING)
		return fail_expecting(parser, "parentheses nested at most 64 deep");
	QMDI_TRY(advance(parser));
	QMDI_TRY(parse_expression(parser));
	if (parser->kind != TOKEN_CLOSE)
		return fail_expecting(parser, "'and', 'or' or ')'");
	parser->nesting--;
	return advance(parser);
}

static qmd_status parse_factor(selection_parser *parser) {
	int negated = 0;
	for (; is_word(parser, "not"); negated = !negated)
		QMDI_TRY(advance(parser));
	if (parser->kind == TOKEN_OPEN) {
		QMDI_TRY(parse_parentheses(parser));
	} else {
		const struct word *word = find_word(parser);
		if (!word)
			return fail_expecting(parser, "'not', '(' or a word such as 'protein', 'name' or 'resid'");
		const size_t first_value = parser->selection->n_values;
		QMDI_TRY(advance(parser));
		if (word->arguments == TAKES_TEXTS)
			QMDI_TRY(parse_texts(parser));
		if (word->arguments == TAKES_NUMBERS)
			QMDI_TRY(parse_numbers(parser));
		QMDI_TRY(emit(parser, word->operation, first_value));
	}
	return negated ? emit(parser, OP_NOT, parser->selection->n_values) : QMD_OK;
}

static qmd_status parse_term(selection_parser *parser) {
	QMDI_TRY(parse_factor(parser));
	while (is_word(parser, "and")) {
		QMDI_TRY(advance(parser));
		QMDI_TRY(parse_factor(parser));
		QMDI_TRY(emit(parser, OP_AND, parser->selection->n_values));
	}
	return QMD_OK;
}

static qmd_status parse_expression(selection_parser *parser) {
	QMDI_TRY(parse_term(parser));
	while (is_word(parser, "or")) {
		QMDI_TRY(advance(parser));
		QMDI_TRY(parse_term(parser));
		QMDI_TRY(emit(parser, OP_OR, parser->selection->n_values));
	}
	return QMD_OK;
}

static qmd_status parse_all(selection_parser *parser) {
	QMDI_TRY(advance(parser));
	QMDI_TRY(parse_expression(parser));
	return parser->kind == TOKEN_END ? QMD_OK : fail_expecting(parser, "'and', 'or' or the end");
}

qmd_status qmdi_selection_compile(const char *text, qmdi_selection **selection) {
	*selection = NULL;
	selection_parser parser = {.text = text, .next = text, .selection = qmdi_zeroed(1, sizeof **selection)};
	if (!parser.selection)
		return QMD_ERROR_MEMORY;
	const qmd_status status = parse_all(&parser);
	if (status == QMD_OK)
		*selection = parser.selection;
	else
		qmdi_selection_free(parser.selection);
	return status;
}

void qmdi_selection_free(qmdi_selection *selection) {
	if (!selection)
		return;
	qmdi_release(selection->steps);
	qmdi_release(selection->values);
	qmdi_release(selection);
}

/* ---- Evaluation ---- */

static int is_one_of(const char *const names[], size_t n_names, const char *name) {
	for (size_t i = 0; i < n_names; i++)
		if (strcmp(names[i], name) == 0)
			return 1;
	return 0;
}

static int is_backbone(const qmd_atom *atom) {
	static const char *const names[] = {"N", "CA", "C", "O"};
	return is_one_of(names, 4, atom->name) && qmdi_is_protein(atom->residue_name);
}

/* As MDTraj: the amide and alpha hydrogens belong to neither side chain nor backbone. */
static int is_sidechain(const qmd_atom *atom) {
	static const char *const names[] = {"N", "CA", "C", "O", "H", "HA"};
	return !is_one_of(names, 6, atom->name) && qmdi_is_protein(atom->residue_name);
}

static int is_hydrogen(const qmd_atom *atom) {
	return strcmp(atom->element, "H") == 0 || strcmp(atom->element, "D") == 0;
}

static int holds_text(const listed_value *values, size_t n, const char *text) {
	for (size_t i = 0; i < n; i++)
		if (strcmp(values[i].text, text) == 0)
			return 1;
	return 0;
}

/* "CL" and "Cl" are one element. */
static int holds_element(const listed_value *values, size_t n, const char *element) {
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(values[i].text, element) == 0)
			return 1;
	return 0;
}

static int holds_number(const listed_value *values, size_t n, int64_t number) {
	for (size_t i = 0; i < n; i++)
		if (values[i].low <= number && number <= values[i].high)
			return 1;
	return 0;
}

static int predicate_holds(const program_step *step, const listed_value *values, const qmd_atom *atom, size_t index) {
	switch (step->operation) {
	case OP_ALL:
		return 1;
	case OP_PROTEIN:
		return qmdi_is_protein(atom->residue_name);
	case OP_BACKBONE:
		return is_backbone(atom);
	case OP_SIDECHAIN:
		return is_sidechain(atom);
	case OP_HYDROGEN:
		return is_hydrogen(atom);
	case OP_NOH:
		return !is_hydrogen(atom);
	case OP_WATER:
		return qmdi_is_water(atom->residue_name);
	case OP_HETERO:
		return atom->hetero;
	case OP_NAME:
		return holds_text(values, step->n_values, atom->name);
	case OP_RESNAME:
		return holds_text(values, step->n_values, atom->residue_name);
	case OP_CHAIN:
		return holds_text(values, step->n_values, atom->chain);
	case OP_ELEMENT:
		return holds_element(values, step->n_values, atom->element);
	case OP_RESID:
		return holds_number(values, step->n_values, atom->residue_number);
	case OP_INDEX:
		return holds_number(values, step->n_values, (int64_t)index);
	case OP_NONE:
	default:
		return 0;
	}
}

int qmdi_selection_matches(const qmdi_selection *selection, const qmd_atom *atom, size_t index) {
	unsigned char stack[STACK_SIZE] = {0};
	size_t depth = 0;
	for (size_t i = 0; i < selection->n_steps; i++) {
		const program_step *step = &selection->steps[i];
		if (step->operation == OP_NOT) {
			stack[depth - 1] = !stack[depth - 1];
		} else if (step->operation == OP_AND || step->operation == OP_OR) {
			depth--;
			stack[depth - 1] =
				step->operation == OP_AND ? stack[depth - 1] && stack[depth] : stack[depth - 1] || stack[depth];
		} else {
			/* A selection without any value has no array of them. */
			const listed_value *values = step->n_values ? selection->values + step->first_value : NULL;
			stack[depth++] = predicate_holds(step, values, atom, index) != 0;
		}
	}
	return stack[0];
}

qmd_status qmdi_select(const char *what, const qmd_atom *atoms, size_t n_atoms, const char *text, size_t *n,
					   uint32_t *indices) {
	qmdi_selection *selection;
	QMDI_TRY(qmdi_selection_compile(text, &selection));
	const size_t room = *n;
	size_t n_matched = 0;
	for (size_t i = 0; i < n_atoms; i++) {
		if (!qmdi_selection_matches(selection, &atoms[i], i))
			continue;
		if (indices && n_matched < room)
			indices[n_matched] = (uint32_t)i;
		n_matched++;
	}
	qmdi_selection_free(selection);
	*n = n_matched;
	if (indices && n_matched > room)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: %zu atoms match, but there is room for %zu indices", what, n_matched,
						 room);
	return QMD_OK;
}
