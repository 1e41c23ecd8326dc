#include "checkpoint.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/container.h"
#include "base/hash.h"
#include "base/memory.h"

#define MAGIC "QMDCHECK"
#define MAJOR 1
#define MINOR 0

static void write_layer(const qmdi_layer *layer, qmdi_writer *writer) {
	const qmd_layer *d = &layer->definition;
	const uint32_t numbers[] = {d->units,     d->kernel_h,     d->kernel_w,     d->stride_h,
								d->stride_w,  d->pad_top,      d->pad_left,     d->pad_bottom,
								d->pad_right, layer->output.h, layer->output.w, layer->output.c};
	qmdi_put_i32(writer, d->kind);
	qmdi_put_i32_array(writer, d->inputs, 2);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		qmdi_put_u32(writer, numbers[i]);
	qmdi_put_f32(writer, d->rate);
	qmdi_put_f32(writer, d->epsilon);
	qmdi_put_f32(writer, d->momentum);
}

qmd_status qmdi_training_hash(const qmd_model *model, const qmdi_images *images, const qmd_train_options *options,
							  uint64_t *hash) {
	qmdi_writer writer = {0};
	for (size_t l = 0; l < model->n_layers; l++)
		write_layer(&model->layers[l], &writer);
	qmdi_put_u64(&writer, qmdi_images_hash(images));
	qmdi_put_f64(&writer, options->learning_rate);
	qmdi_put_f64(&writer, options->beta1);
	qmdi_put_f64(&writer, options->beta2);
	qmdi_put_f64(&writer, options->epsilon);
	qmdi_put_f64(&writer, options->weight_decay);
	qmdi_put_i32(&writer, options->optimizer);
	qmdi_put_u32(&writer, options->batch_size);
	qmdi_put_u64(&writer, options->seed);
	const qmd_status status = writer.status;
	if (status == QMD_OK)
		*hash = qmdi_hash(QMDI_HASH_START, writer.data, writer.size);
	qmdi_writer_release(&writer);
	return status;
}

static void write_weights(const qmd_model *model, qmdi_writer *writer) {
	for (size_t l = 0; l < model->n_layers; l++)
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			qmdi_put_f32_array(writer, model->layers[l].parameters[p], model->layers[l].n_parameters[p]);
}

static void write_state(const qmdi_train_state *state, uint64_t hash, qmdi_writer *writer) {
	qmdi_put_u64(writer, hash);
	qmdi_put_u64(writer, state->epoch);
	qmdi_put_u64(writer, state->step);
	qmdi_put_f64(writer, state->best_loss);
	qmdi_put_u64(writer, state->n_worse);
}

qmd_status qmdi_checkpoint_save(const char *path, const qmd_model *model, const qmdi_optimizer *optimizer,
								const qmdi_train_state *state, uint64_t hash) {
	qmdi_writer progress = {0}, weights = {0}, moments = {0};
	write_state(state, hash, &progress);
	write_weights(model, &weights);
	qmd_status status = qmdi_optimizer_write(optimizer, &moments);
	if (status == QMD_OK)
		status = progress.status;
	if (status == QMD_OK)
		status = weights.status;
	if (status == QMD_OK) {
		const qmdi_section sections[] = {{"state", progress.data, progress.size},
										 {"weights", weights.data, weights.size},
										 {"optimizer", moments.data, moments.size}};
		status = qmdi_container_save(path, MAGIC, MAJOR, MINOR, sections, sizeof sections / sizeof *sections);
	}
	qmdi_writer_release(&progress);
	qmdi_writer_release(&weights);
	qmdi_writer_release(&moments);
	return status;
}

static qmd_status read_state(const qmdi_container *container, const char *path, qmdi_train_state *state,
							 uint64_t hash) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, "state", &reader));
	const uint64_t found = qmdi_get_u64(&reader);
	qmdi_train_state read;
	read.epoch = qmdi_get_u64(&reader);
	read.step = qmdi_get_u64(&reader);
	read.best_loss = qmdi_get_f64(&reader);
	read.n_worse = qmdi_get_u64(&reader);
	QMDI_TRY(qmdi_reader_finish(&reader));
	if (found != hash)
		return qmdi_fail(
			QMD_ERROR_STATE,
			"%s: the checkpoint is of another training (its model, frames or options differ: hash %016llx, "
			"expected %016llx); remove it to start anew",
			path, (unsigned long long)found, (unsigned long long)hash);
	*state = read;
	return QMD_OK;
}

static qmd_status read_weights(const qmdi_container *container, qmd_model *model) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, "weights", &reader));
	for (size_t l = 0; l < model->n_layers; l++)
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++) {
			const size_t n = model->layers[l].n_parameters[p];
			float *values = n > 0 ? qmdi_get_f32_array(&reader, n) : NULL;
			if (values)
				memcpy(model->layers[l].parameters[p], values, n * sizeof *values);
			qmdi_release(values);
		}
	return qmdi_reader_finish(&reader);
}

static qmd_status read_optimizer(const qmdi_container *container, qmdi_optimizer *optimizer) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, "optimizer", &reader));
	QMDI_TRY(qmdi_optimizer_read(optimizer, &reader));
	return qmdi_reader_finish(&reader);
}

qmd_status qmdi_checkpoint_load(const char *path, qmd_model *model, qmdi_optimizer *optimizer, qmdi_train_state *state,
								uint64_t hash) {
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return QMD_OK;
	qmdi_container *container;
	QMDI_TRY(qmdi_container_load(path, MAGIC, MAJOR, &container));
	qmd_status status = read_state(container, path, state, hash);
	if (status == QMD_OK)
		status = read_weights(container, model);
	if (status == QMD_OK)
		status = read_optimizer(container, optimizer);
	qmdi_container_free(container);
	return status;
}
