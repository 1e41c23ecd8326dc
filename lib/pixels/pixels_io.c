/* The "pixels" section of files:
 *
 *     u32 kind | u32 n_atoms | u32 n_superposed
 *     n_atoms x { string name | string residue_name | string chain | string element
 *                 | i32 residue_number | u8 insertion_code | u8 hetero | u32 residue }
 *     i32 superposed[n_superposed] | f32 reference[n_atoms][3]
 *     displacement: f32 steps[n_atoms]; icnnmd: u8 background[side][side][3]
 */
#include "pixels_internal.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

void qmdi_atom_put(const qmd_atom *atom, qmdi_writer *writer) {
	qmdi_put_string(writer, atom->name);
	qmdi_put_string(writer, atom->residue_name);
	qmdi_put_string(writer, atom->chain);
	qmdi_put_string(writer, atom->element);
	qmdi_put_i32(writer, atom->residue_number);
	qmdi_put_u8(writer, (uint8_t)atom->insertion_code);
	qmdi_put_u8(writer, atom->hetero);
	qmdi_put_u32(writer, atom->residue);
}

void qmdi_pixels_put(const qmd_pixels *pixels, qmdi_writer *writer) {
	qmdi_put_u32(writer, (uint32_t)pixels->kind);
	qmdi_put_u32(writer, (uint32_t)pixels->n_atoms);
	qmdi_put_u32(writer, (uint32_t)pixels->n_superposed);
	for (size_t i = 0; i < pixels->n_atoms; i++)
		qmdi_atom_put(&pixels->atoms[i], writer);
	for (size_t i = 0; i < pixels->n_superposed; i++)
		qmdi_put_u32(writer, pixels->superposed[i]);
	qmdi_put_f32_array(writer, pixels->reference, 3 * pixels->n_atoms);
	if (pixels->steps)
		qmdi_put_f32_array(writer, pixels->steps, pixels->n_atoms);
	else
		qmdi_put(writer, pixels->background, pixels->side * pixels->side * QMDI_PIXEL_CHANNELS);
}

static int is_printable(const char *text) {
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return 0;
	return 1;
}

qmd_status qmdi_atom_get(qmdi_reader *reader, size_t index, size_t n_residues, qmd_atom *atom) {
	qmdi_get_string(reader, atom->name, sizeof atom->name);
	qmdi_get_string(reader, atom->residue_name, sizeof atom->residue_name);
	qmdi_get_string(reader, atom->chain, sizeof atom->chain);
	qmdi_get_string(reader, atom->element, sizeof atom->element);
	atom->residue_number = qmdi_get_i32(reader);
	atom->insertion_code = (char)qmdi_get_u8(reader);
	atom->hetero = qmdi_get_u8(reader);
	atom->residue = qmdi_get_u32(reader);
	const char insertion_code[2] = {atom->insertion_code, 0};
	if (reader->status == QMD_OK &&
		!(is_printable(atom->name) && is_printable(atom->residue_name) && is_printable(atom->chain) &&
		  is_printable(atom->element) && is_printable(insertion_code)))
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "atom %zu: its names hold other than printable ASCII", index);
	if (atom->hetero > 1)
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "atom %zu: hetero is %u, expected 0 or 1", index,
								atom->hetero);
	if (atom->residue >= n_residues)
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "atom %zu: residue is %u, expected less than %zu", index,
								atom->residue, n_residues);
	return reader->status;
}

static qmd_status get_superposed(qmdi_reader *reader, qmd_pixels *pixels) {
	for (size_t i = 0; i < pixels->n_superposed; i++) {
		const uint32_t atom = qmdi_get_u32(reader);
		if (reader->status == QMD_OK && (atom >= pixels->n_atoms || (i > 0 && atom <= pixels->superposed[i - 1])))
			return qmdi_reader_fail(reader, QMD_ERROR_FORMAT,
									"superposed atom %zu is %u, expected ascending numbers below %zu", i, atom,
									pixels->n_atoms);
		pixels->superposed[i] = atom;
	}
	return reader->status;
}

static qmd_status get_steps(qmdi_reader *reader, qmd_pixels *pixels) {
	for (size_t i = 0; i < pixels->n_atoms; i++) {
		const float step = pixels->steps[i] = qmdi_get_f32(reader);
		if (reader->status == QMD_OK && !(isfinite(step) && step >= (float)QMDI_MIN_STEP))
			return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "step %zu is %g, expected a finite number of at least %g",
									i, (double)step, QMDI_MIN_STEP);
	}
	return reader->status;
}

static qmd_status get_background(qmdi_reader *reader, qmd_pixels *pixels) {
	const size_t size = pixels->side * pixels->side * QMDI_PIXEL_CHANNELS;
	const unsigned char *bytes = qmdi_get(reader, size);
	if (!bytes)
		return reader->status;
	for (size_t i = pixels->n_atoms * QMDI_PIXEL_CHANNELS; i < size; i++)
		if (bytes[i] != 0)
			return qmdi_reader_fail(reader, QMD_ERROR_FORMAT,
									"background pixel %zu shows no atom and is %u, expected 0", i / QMDI_PIXEL_CHANNELS,
									bytes[i]);
	memcpy(pixels->background, bytes, size);
	return QMD_OK;
}

static qmd_status get_contents(qmdi_reader *reader, qmd_pixels *pixels) {
	for (size_t i = 0; i < pixels->n_atoms; i++)
		QMDI_TRY(qmdi_atom_get(reader, i, pixels->n_atoms, &pixels->atoms[i]));
	QMDI_TRY(get_superposed(reader, pixels));
	for (size_t i = 0; i < 3 * pixels->n_atoms; i++)
		pixels->reference[i] = qmdi_get_f32(reader);
	QMDI_TRY(reader->status);
	QMDI_TRY(pixels->steps ? get_steps(reader, pixels) : get_background(reader, pixels));
	const qmd_status status = qmdi_pixels_prepare(pixels);
	return status == QMD_OK ? QMD_OK : qmdi_fail_within(reader->status = status, "%s", reader->name);
}

qmd_status qmdi_pixels_get(qmdi_reader *reader, qmd_pixels **out) {
	const uint32_t kind = qmdi_get_u32(reader);
	const size_t n_atoms = qmdi_get_u32(reader), n_superposed = qmdi_get_u32(reader);
	QMDI_TRY(reader->status);
	if (kind != QMD_PIXELS_DISPLACEMENT && kind != QMD_PIXELS_ICNNMD)
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "pixels of kind %u, expected %d or %d", kind,
								QMD_PIXELS_DISPLACEMENT, QMD_PIXELS_ICNNMD);
	const size_t left = reader->size - reader->offset;
	if (n_atoms < 1 || n_atoms > left / QMDI_MIN_ATOM_SIZE || n_superposed < 1 || n_superposed > n_atoms)
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT,
								"pixels of %zu atoms, %zu of them superposed, do not fit into %zu bytes", n_atoms,
								n_superposed, left);
	qmd_pixels *pixels;
	qmd_status status = qmdi_pixels_allocate((int32_t)kind, n_atoms, n_superposed, &pixels);
	if (status != QMD_OK)
		return reader->status = status;
	status = get_contents(reader, pixels);
	if (status != QMD_OK) {
		qmd_pixels_free(pixels);
		return status;
	}
	*out = pixels;
	return QMD_OK;
}
