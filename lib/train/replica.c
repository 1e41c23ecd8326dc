#include "replica.h"

#include "base/error.h"
#include "base/memory.h"

/* What a device holds of a layer. */
typedef struct tensors {
	float *parameters[QMDI_MAX_PARAMETERS];
	float *weight_scales;
} tensors;

struct qmdi_replica {
	qmd_model *model;
	qmdi_tensor_device *device;
	size_t n_holders;
	/* Unless the model's own arrays serve. */
	tensors *layers;                 /* [n_layers] */
	float *activation_scales;        /* [n_layers] */
	float *activation_scales_staged; /* the host's side of the copy */
};

static int is_host(const qmdi_replica *replica) {
	return replica->device->ops->is_host;
}

/* ---- Creation ---- */

static qmd_status allocate_layer(const qmdi_replica *replica, size_t index) {
	const qmdi_layer *layer = &replica->model->layers[index];
	tensors *t = &replica->layers[index];
	for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
		if (layer->n_parameters[p] > 0)
			QMDI_TRY(replica->device->ops->allocate(replica->device, layer->n_parameters[p], &t->parameters[p]));
	if (layer->weight_scales)
		QMDI_TRY(replica->device->ops->allocate(replica->device, layer->definition.units, &t->weight_scales));
	return QMD_OK;
}

static qmd_status bring_model(qmdi_replica *replica) {
	const size_t n = replica->model->n_layers;
	replica->layers = qmdi_zeroed(n, sizeof *replica->layers);
	if (!replica->layers)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(replica->device->ops->allocate(replica->device, n, &replica->activation_scales));
	QMDI_TRY(replica->device->ops->allocate_host(replica->device, n, &replica->activation_scales_staged));
	for (size_t l = 0; l < n; l++)
		QMDI_TRY(allocate_layer(replica, l));
	return qmdi_replica_upload(replica);
}

qmd_status qmdi_replica_create(qmd_model *model, const char *device, size_t n_threads, qmdi_replica **replica) {
	*replica = NULL;
	if (n_threads < 1 || n_threads > QMDI_TENSOR_MAX_THREADS)
		return qmdi_fail(QMD_ERROR_RANGE, "number of threads is %zu, expected 1 to %d", n_threads,
						 QMDI_TENSOR_MAX_THREADS);
	qmdi_replica *created = qmdi_zeroed(1, sizeof *created);
	if (!created)
		return QMD_ERROR_MEMORY;
	created->model = model;
	created->n_holders = 1;
	qmd_status status = qmdi_tensor_open(device, n_threads, &created->device);
	if (status == QMD_OK && !is_host(created))
		status = bring_model(created);
	if (status != QMD_OK) {
		qmdi_replica_release(created);
		return status;
	}
	*replica = created;
	return QMD_OK;
}

qmdi_replica *qmdi_replica_hold(qmdi_replica *replica) {
	replica->n_holders++;
	return replica;
}

static void release_tensors(qmdi_replica *replica) {
	qmdi_tensor_device *device = replica->device;
	for (size_t l = 0; replica->layers && l < replica->model->n_layers; l++) {
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			device->ops->release(device, replica->layers[l].parameters[p]);
		device->ops->release(device, replica->layers[l].weight_scales);
	}
	device->ops->release(device, replica->activation_scales);
	device->ops->release_host(device, replica->activation_scales_staged);
	qmdi_release(replica->layers);
}

void qmdi_replica_release(qmdi_replica *replica) {
	if (!replica || --replica->n_holders > 0)
		return;
	if (replica->device)
		release_tensors(replica);
	qmdi_tensor_close(replica->device);
	qmdi_release(replica);
}

/* ---- Asking ---- */

qmd_model *qmdi_replica_model(const qmdi_replica *replica) {
	return replica->model;
}

qmdi_tensor_device *qmdi_replica_device(const qmdi_replica *replica) {
	return replica->device;
}

float *qmdi_replica_parameter(const qmdi_replica *replica, size_t layer, size_t parameter) {
	return is_host(replica) ? replica->model->layers[layer].parameters[parameter]
							: replica->layers[layer].parameters[parameter];
}

float *qmdi_replica_weight_scales(const qmdi_replica *replica, size_t layer) {
	return is_host(replica) ? replica->model->layers[layer].weight_scales : replica->layers[layer].weight_scales;
}

const float *qmdi_replica_activation_scale(const qmdi_replica *replica, size_t layer) {
	return is_host(replica) ? &replica->model->layers[layer].activation_scale : &replica->activation_scales[layer];
}

/* ---- Copies ---- */

qmd_status qmdi_replica_upload_scales(qmdi_replica *replica) {
	if (is_host(replica))
		return QMD_OK;
	const qmd_model *model = replica->model;
	qmdi_tensor_device *device = replica->device;
	for (size_t l = 0; l < model->n_layers; l++) {
		const qmdi_layer *layer = &model->layers[l];
		replica->activation_scales_staged[l] = layer->activation_scale;
		if (layer->weight_scales)
			QMDI_TRY(device->ops->upload(device, layer->weight_scales, layer->definition.units,
										 replica->layers[l].weight_scales));
	}
	return device->ops->upload(device, replica->activation_scales_staged, model->n_layers, replica->activation_scales);
}

qmd_status qmdi_replica_upload(qmdi_replica *replica) {
	if (is_host(replica))
		return QMD_OK;
	qmdi_tensor_device *device = replica->device;
	for (size_t l = 0; l < replica->model->n_layers; l++) {
		const qmdi_layer *layer = &replica->model->layers[l];
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			if (layer->n_parameters[p] > 0)
				QMDI_TRY(device->ops->upload(device, layer->parameters[p], layer->n_parameters[p],
											 replica->layers[l].parameters[p]));
	}
	QMDI_TRY(qmdi_replica_upload_scales(replica));
	return device->ops->wait(device);
}

static qmd_status download_parameter(const qmdi_replica *replica, size_t index, size_t parameter) {
	const qmdi_layer *layer = &replica->model->layers[index];
	return replica->device->ops->download(replica->device, replica->layers[index].parameters[parameter],
										  layer->n_parameters[parameter], layer->parameters[parameter]);
}

qmd_status qmdi_replica_download(qmdi_replica *replica) {
	if (is_host(replica))
		return QMD_OK;
	for (size_t l = 0; l < replica->model->n_layers; l++)
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			if (replica->model->layers[l].n_parameters[p] > 0)
				QMDI_TRY(download_parameter(replica, l, p));
	return QMD_OK;
}

qmd_status qmdi_replica_download_biases(qmdi_replica *replica) {
	if (is_host(replica))
		return QMD_OK;
	for (size_t l = 0; l < replica->model->n_layers; l++)
		if (replica->model->layers[l].weight_scales)
			QMDI_TRY(download_parameter(replica, l, QMDI_BIAS));
	return QMD_OK;
}
