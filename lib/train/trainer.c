#include "trainer.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/threads.h"
#include "checkpoint.h"
#include "optimizer.h"

/* Streams of random numbers; dropout masks have their own (network.h). */
#define ORDER_STREAM ((uint64_t)1 << 32)

typedef struct trainer {
	qmd_model *model;
	const qmdi_images *images;
	const qmd_train_options *options;
	const char *phase;
	qmdi_gradients_fn on_gradients;
	void *user;
	qmdi_replica *replica;
	/* The last batch of an epoch may be smaller, and has a network of its own: nothing is filled up, so that batch
	 * statistics are those of real images. */
	qmdi_network *network, *last_network;
	size_t batch_size, n_batches; /* of an epoch */
	qmdi_optimizer *optimizer;
	struct {
		size_t layer, parameter;
	} * trained; /* [n_trained]: which parameters */
	const float **gradients;
	size_t n_trained;
	uint32_t *order;
	qmdi_train_state state;
	uint64_t hash;
} trainer;

/* Sums of the epoch so far. */
typedef struct epoch_sums {
	double loss;
	size_t n_right, n;
} epoch_sums;

qmd_status qmdi_threads_check(uint32_t *n_threads, const char *what) {
	if (*n_threads > QMDI_TENSOR_MAX_THREADS)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: n_threads is %u, expected 0 to %d", what, *n_threads,
						 QMDI_TENSOR_MAX_THREADS);
	if (*n_threads == 0) {
		const size_t n = qmdi_n_processors();
		*n_threads = n < QMDI_TENSOR_MAX_THREADS ? (uint32_t)n : QMDI_TENSOR_MAX_THREADS;
	}
	return QMD_OK;
}

/* Comparisons are written so that NaN fails. */
static qmd_status check_real(const char *what, const char *name, double value, int allowed, const char *expected) {
	if (allowed && isfinite(value))
		return QMD_OK;
	return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: %s is %g, expected %s", what, name, value, expected);
}

qmd_status qmdi_train_options_check(qmd_train_options *o, const char *what) {
	if (o->optimizer != QMD_OPTIMIZER_ADAM && o->optimizer != QMD_OPTIMIZER_RMSPROP)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: optimizer is %d, expected a qmd_optimizer", what, o->optimizer);
	QMDI_TRY(check_real(what, "learning_rate", o->learning_rate, o->learning_rate > 0, "a number above 0"));
	QMDI_TRY(check_real(what, "beta1", o->beta1, o->beta1 >= 0 && o->beta1 < 1, "0 <= beta1 < 1"));
	QMDI_TRY(check_real(what, "beta2", o->beta2, o->beta2 >= 0 && o->beta2 < 1, "0 <= beta2 < 1"));
	QMDI_TRY(check_real(what, "epsilon", o->epsilon, o->epsilon >= 1e-30, "at least 1e-30"));
	QMDI_TRY(check_real(what, "weight_decay", o->weight_decay,
						o->weight_decay >= 0 && o->weight_decay * o->learning_rate < 1,
						"at least 0, and less than 1 / learning_rate"));
	QMDI_TRY(check_real(what, "target_loss", o->target_loss, o->target_loss >= 0, "at least 0"));
	if (o->batch_size < 1 || o->epochs < 1 || o->checkpoint_interval < 1)
		return qmdi_fail(QMD_ERROR_ARGUMENT,
						 "%s: batch_size is %u, epochs %u, checkpoint_interval %u, expected at least 1 of each", what,
						 o->batch_size, o->epochs, o->checkpoint_interval);
	return qmdi_threads_check(&o->n_threads, what);
}

/* What the network has gradients of. */
static qmd_status make_optimizer(trainer *t) {
	const size_t most = t->model->n_layers * QMDI_MAX_PARAMETERS;
	qmdi_trained *arrays = qmdi_array(most, sizeof *arrays);
	t->trained = qmdi_array(most, sizeof *t->trained);
	t->gradients = qmdi_array(most, sizeof *t->gradients);
	if (!arrays || !t->trained || !t->gradients) {
		qmdi_release(arrays);
		return QMD_ERROR_MEMORY;
	}
	for (size_t l = 0; l < t->model->n_layers; l++)
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++) {
			const qmdi_layer *layer = &t->model->layers[l];
			if (!layer->parameters[p] || !qmdi_network_gradient(t->network, l, p))
				continue;
			const int is_weight = layer->definition.kind != QMD_LAYER_BATCHNORM && p == QMDI_WEIGHT;
			arrays[t->n_trained] =
				(qmdi_trained){qmdi_replica_parameter(t->replica, l, p), layer->n_parameters[p], is_weight};
			t->trained[t->n_trained].layer = l;
			t->trained[t->n_trained].parameter = p;
			t->n_trained++;
		}
	const qmd_status status =
		qmdi_optimizer_create(t->options, arrays, t->n_trained, qmdi_replica_device(t->replica), &t->optimizer);
	qmdi_release(arrays);
	return status;
}

static qmd_status make_networks(trainer *t) {
	const size_t n = t->images->n;
	t->batch_size = t->options->batch_size < n ? t->options->batch_size : n;
	t->n_batches = (n + t->batch_size - 1) / t->batch_size;
	QMDI_TRY(qmdi_network_create(t->replica, t->batch_size, QMDI_BACKWARD_PARAMETERS, &t->network));
	const size_t last = n % t->batch_size;
	return last == 0 ? QMD_OK : qmdi_network_create(t->replica, last, QMDI_BACKWARD_PARAMETERS, &t->last_network);
}

static qmd_status trainer_open(trainer *t) {
	QMDI_TRY(qmdi_replica_create(t->model, t->options->device, t->options->n_threads, &t->replica));
	QMDI_TRY(make_networks(t));
	QMDI_TRY(make_optimizer(t));
	t->order = qmdi_array(t->images->n, sizeof *t->order);
	if (!t->order)
		return QMD_ERROR_MEMORY;
	t->state.best_loss = INFINITY;
	if (!t->options->checkpoint_path)
		return QMD_OK;
	QMDI_TRY(qmdi_training_hash(t->model, t->images, t->options, &t->hash));
	QMDI_TRY(qmdi_checkpoint_load(t->options->checkpoint_path, t->model, t->optimizer, &t->state, t->hash));
	return qmdi_replica_upload(t->replica);
}

static void trainer_close(trainer *t) {
	qmdi_optimizer_free(t->optimizer);
	qmdi_network_free(t->network);
	qmdi_network_free(t->last_network);
	qmdi_replica_release(t->replica);
	qmdi_release(t->trained);
	qmdi_release(t->gradients);
	qmdi_release(t->order);
}

/* Forward, backward and one step of the optimizer on n images. */
static qmd_status train_batch(trainer *t, const uint32_t *order, size_t n, uint32_t *labels, epoch_sums *sums) {
	qmdi_network *network = n == t->batch_size ? t->network : t->last_network;
	qmdi_images_gather(t->images, order, n, qmdi_network_input(network));
	for (size_t i = 0; i < n; i++)
		labels[i] = t->images->labels[order[i]];
	QMDI_TRY(qmdi_network_forward(network, QMDI_TRAINING, t->options->seed, t->state.step));
	double loss;
	size_t n_right;
	QMDI_TRY(qmdi_network_backward(network, labels, n, &loss, &n_right));
	if (!isfinite(loss))
		return qmdi_fail(QMD_ERROR_RANGE, "%s: the loss is %g in epoch %llu: a lower learning rate may help", t->phase,
						 loss, (unsigned long long)t->state.epoch + 1);
	if (t->on_gradients) {
		QMDI_TRY(qmdi_replica_download_biases(t->replica));
		QMDI_TRY(t->on_gradients(t->user, network));
		QMDI_TRY(qmdi_replica_upload_scales(t->replica));
	}
	for (size_t a = 0; a < t->n_trained; a++)
		t->gradients[a] = qmdi_network_gradient(network, t->trained[a].layer, t->trained[a].parameter);
	QMDI_TRY(qmdi_optimizer_step(t->optimizer, t->gradients));
	t->state.step++;
	sums->loss += loss * (double)n;
	sums->n_right += n_right;
	sums->n += n;
	return QMD_OK;
}

static qmd_status report(const trainer *t, const epoch_sums *sums) {
	return qmdi_progress(t->options->progress, t->options->user, t->phase, t->state.step,
						 t->options->epochs * t->n_batches, sums->loss / (double)sums->n,
						 (double)sums->n_right / (double)sums->n);
}

static qmd_status train_epoch(trainer *t, uint32_t *labels) {
	for (size_t i = 0; i < t->images->n; i++)
		t->order[i] = (uint32_t)i;
	qmdi_random_shuffle(t->options->seed, ORDER_STREAM + t->state.epoch, t->order, t->images->n);
	epoch_sums sums = {0};
	for (size_t first = 0; first < t->images->n; first += t->batch_size) {
		const size_t left = t->images->n - first;
		QMDI_TRY(train_batch(t, t->order + first, left < t->batch_size ? left : t->batch_size, labels, &sums));
		QMDI_TRY(report(t, &sums));
	}
	t->state.epoch++;
	const double loss = sums.loss / (double)sums.n;
	t->state.n_worse = loss < t->state.best_loss ? 0 : t->state.n_worse + 1;
	if (loss < t->state.best_loss)
		t->state.best_loss = loss;
	qmdi_log(QMD_LOG_DEBUG, "%s: epoch %llu: loss %.6f, accuracy %.4f", t->phase, (unsigned long long)t->state.epoch,
			 loss, (double)sums.n_right / (double)sums.n);
	return QMD_OK;
}

/* What decides is the training loss alone. */
static int is_over(const trainer *t) {
	return t->state.epoch >= t->options->epochs || t->state.best_loss < t->options->target_loss ||
		   (t->options->patience && t->state.n_worse >= t->options->patience);
}

static qmd_status save_checkpoint(trainer *t) {
	QMDI_TRY(qmdi_replica_download(t->replica));
	return qmdi_checkpoint_save(t->options->checkpoint_path, t->model, t->optimizer, &t->state, t->hash);
}

static qmd_status train_epochs(trainer *t, uint32_t *labels) {
	while (!is_over(t)) {
		QMDI_TRY(train_epoch(t, labels));
		if (t->options->checkpoint_path && (is_over(t) || t->state.epoch % t->options->checkpoint_interval == 0))
			QMDI_TRY(save_checkpoint(t));
	}
	return QMD_OK;
}

/* The last step may have left what no loss has seen. */
static qmd_status check_finite(const qmd_model *model, const char *phase) {
	for (size_t l = 0; l < model->n_layers; l++)
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			for (size_t i = 0; i < model->layers[l].n_parameters[p]; i++)
				if (!isfinite(model->layers[l].parameters[p][i]))
					return qmdi_fail(QMD_ERROR_RANGE,
									 "%s: a weight of layer '%s' is %g: a lower learning rate may help", phase,
									 model->layers[l].name, (double)model->layers[l].parameters[p][i]);
	return QMD_OK;
}

/* The model gets what the device has; returns `reached`, unless that fails. */
static qmd_status take_weights(trainer *t, qmd_status reached) {
	const qmd_status status = qmdi_replica_download(t->replica);
	return status == QMD_OK ? reached : status;
}

static void copy_parameters(const qmd_model *from, qmd_model *to) {
	for (size_t l = 0; l < from->n_layers; l++)
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			if (from->layers[l].n_parameters[p] > 0)
				memcpy(to->layers[l].parameters[p], from->layers[l].parameters[p],
					   from->layers[l].n_parameters[p] * sizeof(float));
}

qmd_status qmdi_train_loop(qmd_model *model, const qmdi_images *images, const qmd_train_options *options,
						   const char *phase, qmdi_gradients_fn on_gradients, void *user) {
	trainer t = {.model = model,
				 .images = images,
				 .options = options,
				 .phase = phase,
				 .on_gradients = on_gradients,
				 .user = user};
	qmd_model *before = NULL;
	QMDI_TRY(qmdi_model_copy(model, &before));
	qmd_status status = trainer_open(&t);
	uint32_t *labels = status == QMD_OK ? qmdi_array(t.batch_size, sizeof *labels) : NULL;
	if (status == QMD_OK && !labels)
		status = QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		status = train_epochs(&t, labels);
	if (status == QMD_OK || status == QMD_ERROR_CANCELLED)
		status = take_weights(&t, status);
	if (status == QMD_OK)
		status = check_finite(model, phase);
	qmdi_release(labels);
	trainer_close(&t); /* after which no copy from the device is under way */
	if (status != QMD_OK && status != QMD_ERROR_CANCELLED)
		copy_parameters(before, model);
	qmd_model_free(before);
	return status;
}
