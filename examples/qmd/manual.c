#include "manual.h"

#include <stdio.h>
#include <string.h>

#define LINE_SIZE 72 /* of the source, which is read by people too */

/* ---- Text, as mdoc wants it: short lines, a new sentence on a new line, nothing taken for a macro ---- */

static void put_character(char c, int begins_word) {
	if (c == '\\')
		fputs("\\e", stdout);
	else if (c == '-' && begins_word)
		fputs("\\-", stdout);
	else
		putchar(c);
}

static void put_word(const char *word, size_t size, int begins_line) {
	if (begins_line && (*word == '.' || *word == '\''))
		fputs("\\&", stdout);
	if (memchr(word, '.', size - 1))
		fputs("\\%", stdout); /* a file's name is not hyphenated */
	int begins_word = 1;
	for (size_t i = 0; i < size; i++) {
		put_character(word[i], begins_word);
		begins_word = begins_word && (word[i] == '-' || word[i] == '[');
	}
}

static int ends_sentence(char c) {
	return c == '.' || c == '?' || c == '!';
}

static void put_text(const char *text) {
	size_t column = 0;
	int sentence_ended = 0;
	for (text += strspn(text, " \n"); *text; text += strspn(text, " \n")) {
		const size_t size = strcspn(text, " \n");
		if (column > 0 && (sentence_ended || column + 1 + size > LINE_SIZE))
			column = 0, putchar('\n');
		if (column > 0)
			putchar(' ');
		put_word(text, size, column == 0);
		column += size + 1;
		text += size;
		sentence_ended = ends_sentence(text[-1]);
	}
	putchar('\n');
}

/* ---- Commands and options ---- */

static void put_name(const option_row *row) {
	if (row->letter)
		printf(" Fl %c ,", row->letter);
	printf(" Fl -%s", row->name);
}

static void put_command(const program_command *command) {
	printf(".Ss %s\n.Dl qmd %s [option...] ", command->name, command->name);
	put_word(command->operands, strlen(command->operands), 0);
	printf("\n.Pp\n");
	char summary[256];
	snprintf(summary, sizeof summary, "%s.", command->summary);
	put_text(summary);
	printf(".Pp\n");
	put_text(command->details);
	printf(".Pp\nOptions:\n");
	for (const option_code *code = command->options; *code != OPTION_END; code++)
		printf(".Fl -%s%s\n", arguments_option(*code)->name, code[1] != OPTION_END ? " ," : " .");
}

static void put_option(const option_row *row) {
	printf(".It");
	put_name(row);
	if (row->value)
		printf(" Ar \"%s\"", row->value);
	putchar('\n');
	put_text(row->help);
}

/* ---- What no table holds ---- */

static const char head[] = ".Dd November 24, 2026\n"
						   ".Dt QMD 1\n"
						   ".Os\n"
						   ".Sh NAME\n"
						   ".Nm qmd\n"
						   ".Nd tell the states of a protein apart, in integers\n"
						   ".Sh SYNOPSIS\n"
						   ".Nm\n"
						   ".Ar command\n"
						   ".Op Ar option ...\n"
						   ".Op Ar operand ...\n"
						   ".Nm\n"
						   ".Ar command\n"
						   ".Fl -help\n"
						   ".Nm\n"
						   ".Fl -help | Fl -version | Fl -man\n"
						   ".Sh DESCRIPTION\n"
						   ".Nm\n"
						   "trains a neural network to tell the states of one protein apart from single\n"
						   "frames of molecular dynamics trajectories, quantizes it to an engine that\n"
						   "computes in 8-bit integers, runs that engine, and says which residues drove\n"
						   "its decision.\n"
						   "One command,\n"
						   ".Cm study ,\n"
						   "does all of this; the others are its single steps.\n"
						   ".Pp\n"
						   "A state is a name, a PDB file and one or more trajectories, each an\n"
						   "independent simulation (a replica):\n"
						   ".Pp\n"
						   ".Dl \\-\\-state apo=apo.pdb,apo-1.nc,apo-2.nc,apo-3.nc\n"
						   ".Pp\n"
						   "File names hold no comma.\n"
						   "Trajectories are AMBER NetCDF, XTC of GROMACS, or DCD of CHARMM, NAMD and\n"
						   "others; the first bytes of a file tell which.\n"
						   "States are matched atom by atom, and what not all of them have is left out.\n"
						   ".Pp\n"
						   "An error is one line on standard error; warnings begin with\n"
						   ".Dq qmd: warning: .\n"
						   "Progress bars are drawn where standard error is a terminal.\n"
						   "Results are written under a temporary name and then renamed, so that a file\n"
						   "under its final name is whole; the arrays of\n"
						   ".Cm pixels\n"
						   "alone are written in place.\n";

static const char tail[] = ".Sh ENVIRONMENT\n"
						   ".Bl -tag -width QMD_MAX_ISA\n"
						   ".It Ev QMD_MAX_ISA\n"
						   "The best instructions that an engine may use:\n"
						   ".Cm ref ,\n"
						   ".Cm avx2 ,\n"
						   ".Cm avx512bw ,\n"
						   ".Cm avxvnni\n"
						   "or\n"
						   ".Cm avx512vnni .\n"
						   "Results are the same; it is there for tests and for measuring.\n"
						   ".El\n"
						   ".Sh FILES\n"
						   ".Bl -tag -width MODEL.qmd\n"
						   ".It Pa MODEL.qmd\n"
						   "A network in floating point or with its scales of quantization, the pixels\n"
						   "it was trained on and the names of its states.\n"
						   ".It Pa ENGINE.qme\n"
						   "A network in integers, with all that it takes to get from raw coordinates to\n"
						   "probabilities; what a simulation code loads.\n"
						   ".It Pa report.html\n"
						   "What a study found, in its folder, with\n"
						   ".Pa report.json ,\n"
						   ".Pa residues.csv ,\n"
						   ".Pa residues.pdb\n"
						   "and more.\n"
						   ".El\n"
						   ".Sh EXIT STATUS\n"
						   ".Bl -tag -width 130 -compact\n"
						   ".It 0\n"
						   "Done.\n"
						   ".It 1\n"
						   "A file, the data or the computation failed.\n"
						   ".It 2\n"
						   "The command line is wrong.\n"
						   ".It 130\n"
						   "Interrupted; a second interrupt ends the program at once.\n"
						   ".El\n"
						   ".Sh EXAMPLES\n"
						   "Two states, three replicas each; every replica is held out once:\n"
						   ".Bd -literal -offset indent\n"
						   "qmd study \\-\\-state apo=apo.pdb,apo-1.nc,apo-2.nc,apo-3.nc \\e\n"
						   "          \\-\\-state holo=holo.pdb,holo-1.nc,holo-2.nc,holo-3.nc \\e\n"
						   "          \\-o study\n"
						   ".Ed\n"
						   ".Pp\n"
						   "The probability of each state along another trajectory:\n"
						   ".Pp\n"
						   ".Dl qmd run study/fold-1.qme new.nc \\-\\-topology new.pdb \\-o new.csv\n"
						   ".Pp\n"
						   "Where the time of a step goes on this machine:\n"
						   ".Pp\n"
						   ".Dl qmd profile study/fold-1.qme\n"
						   ".Sh SEE ALSO\n"
						   "The guide, from two trajectories to a figure, and the pages on numbers, files\n"
						   "and embedding come with libqmd.\n";

void manual_print(const program_command *const *commands) {
	fputs(head, stdout);
	printf(".Sh COMMANDS\nWhat an option means is said once, below.\n");
	for (size_t i = 0; commands[i]; i++)
		put_command(commands[i]);
	printf(".Sh OPTIONS\n.Bl -tag -width Ds\n");
	for (size_t i = 0; arguments_option_at(i); i++)
		put_option(arguments_option_at(i));
	fputs(".El\n", stdout);
	fputs(tail, stdout);
}
