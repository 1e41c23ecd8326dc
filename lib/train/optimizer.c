#include "optimizer.h"

#include <math.h>

#include "base/memory.h"

struct qmdi_optimizer {
	qmd_optimizer kind;
	float learning_rate, beta1, beta2, epsilon, decay;
	uint64_t n_steps;
	qmdi_trained *arrays;
	size_t n_arrays;
	float **moment1, **moment2; /* [n_arrays]; RMSprop has no first moment */
	qmdi_tensor_device *device;
};

static qmd_status make_moments(qmdi_optimizer *o) {
	o->moment1 = qmdi_zeroed(o->n_arrays, sizeof *o->moment1);
	o->moment2 = qmdi_zeroed(o->n_arrays, sizeof *o->moment2);
	if (!o->moment1 || !o->moment2)
		return QMD_ERROR_MEMORY;
	for (size_t a = 0; a < o->n_arrays; a++) {
		if (o->kind == QMD_OPTIMIZER_ADAM)
			QMDI_TRY(o->device->ops->allocate(o->device, o->arrays[a].n, &o->moment1[a]));
		QMDI_TRY(o->device->ops->allocate(o->device, o->arrays[a].n, &o->moment2[a]));
	}
	return QMD_OK;
}

qmd_status qmdi_optimizer_create(const qmd_train_options *options, const qmdi_trained *arrays, size_t n_arrays,
								 qmdi_tensor_device *device, qmdi_optimizer **result) {
	qmdi_optimizer *optimizer = qmdi_zeroed(1, sizeof *optimizer);
	if (!optimizer)
		return QMD_ERROR_MEMORY;
	optimizer->kind = (qmd_optimizer)options->optimizer;
	optimizer->learning_rate = (float)options->learning_rate;
	optimizer->beta1 = (float)options->beta1;
	optimizer->beta2 = (float)options->beta2;
	optimizer->epsilon = (float)options->epsilon;
	optimizer->decay = (float)(options->learning_rate * options->weight_decay);
	optimizer->device = device;
	optimizer->n_arrays = n_arrays;
	optimizer->arrays = qmdi_copy(arrays, n_arrays, sizeof *arrays);
	const qmd_status status = optimizer->arrays ? make_moments(optimizer) : QMD_ERROR_MEMORY;
	if (status != QMD_OK) {
		qmdi_optimizer_free(optimizer);
		return status;
	}
	*result = optimizer;
	return QMD_OK;
}

void qmdi_optimizer_free(qmdi_optimizer *optimizer) {
	if (!optimizer)
		return;
	for (size_t a = 0; a < optimizer->n_arrays; a++) {
		if (optimizer->moment1)
			optimizer->device->ops->release(optimizer->device, optimizer->moment1[a]);
		if (optimizer->moment2)
			optimizer->device->ops->release(optimizer->device, optimizer->moment2[a]);
	}
	qmdi_release(optimizer->moment1);
	qmdi_release(optimizer->moment2);
	qmdi_release(optimizer->arrays);
	qmdi_release(optimizer);
}

/* The decay is that of Loshchilov and Hutter 2019. */
static qmd_status update_arrays(const qmdi_optimizer *o, const float *const *gradients) {
	const double n = (double)o->n_steps;
	qmdi_update update = {.rate = o->learning_rate,
						  .beta1 = o->beta1,
						  .beta2 = o->beta2,
						  .epsilon = o->epsilon,
						  .correction1 = (float)(1.0 - pow(o->beta1, n)),
						  .correction2 = (float)(1.0 - pow(o->beta2, n))};
	for (size_t a = 0; a < o->n_arrays; a++) {
		update.n = o->arrays[a].n;
		update.values = o->arrays[a].values;
		update.gradient = gradients[a];
		update.moment1 = o->moment1[a];
		update.moment2 = o->moment2[a];
		update.keep = o->arrays[a].decays ? 1.0f - o->decay : 1.0f;
		QMDI_TRY(o->device->ops->update(o->device, &update));
	}
	return QMD_OK;
}

qmd_status qmdi_optimizer_step(qmdi_optimizer *optimizer, const float *const *gradients) {
	optimizer->n_steps++;
	QMDI_TRY(optimizer->device->ops->enter(optimizer->device));
	const qmd_status status = update_arrays(optimizer, gradients);
	optimizer->device->ops->leave(optimizer->device);
	return status;
}

/* ---- State ---- */

static qmd_status write_moment(const qmdi_optimizer *o, const float *moment, size_t n, qmdi_writer *writer) {
	float *values = qmdi_array(n, sizeof *values);
	if (!values)
		return QMD_ERROR_MEMORY;
	const qmd_status status = o->device->ops->download(o->device, moment, n, values);
	if (status == QMD_OK)
		qmdi_put_f32_array(writer, values, n);
	qmdi_release(values);
	return status == QMD_OK ? writer->status : status;
}

qmd_status qmdi_optimizer_write(const qmdi_optimizer *optimizer, qmdi_writer *writer) {
	qmdi_put_u64(writer, optimizer->n_steps);
	for (size_t a = 0; a < optimizer->n_arrays; a++) {
		if (optimizer->moment1[a])
			QMDI_TRY(write_moment(optimizer, optimizer->moment1[a], optimizer->arrays[a].n, writer));
		QMDI_TRY(write_moment(optimizer, optimizer->moment2[a], optimizer->arrays[a].n, writer));
	}
	return writer->status;
}

static qmd_status read_moment(qmdi_optimizer *o, qmdi_reader *reader, float *moment, size_t n) {
	float *values = qmdi_get_f32_array(reader, n);
	if (!values)
		return reader->status;
	qmd_status status = o->device->ops->upload(o->device, values, n, moment);
	if (status == QMD_OK)
		status = o->device->ops->wait(o->device); /* until the values may go */
	qmdi_release(values);
	return status;
}

qmd_status qmdi_optimizer_read(qmdi_optimizer *optimizer, qmdi_reader *reader) {
	optimizer->n_steps = qmdi_get_u64(reader);
	for (size_t a = 0; a < optimizer->n_arrays; a++) {
		if (optimizer->moment1[a])
			QMDI_TRY(read_moment(optimizer, reader, optimizer->moment1[a], optimizer->arrays[a].n));
		QMDI_TRY(read_moment(optimizer, reader, optimizer->moment2[a], optimizer->arrays[a].n));
	}
	return reader->status;
}
