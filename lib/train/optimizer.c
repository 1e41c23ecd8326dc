#include "optimizer.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"

/* Numbers that one task updates: large enough to hide the hand-over, small enough to share out. */
#define TASK_SIZE 65536

typedef struct task {
	size_t array, first, n;
} task;

struct qmdi_optimizer {
	qmd_optimizer kind;
	float learning_rate, beta1, beta2, epsilon, decay;
	uint64_t n_steps;
	qmdi_trained *arrays;
	size_t n_arrays;
	float **moment1, **moment2; /* [n_arrays]; RMSprop has no first moment */
	task *tasks;
	size_t n_tasks;
	qmdi_pool *pool;
};

/* What one step of Adam divides the moments by. */
typedef struct step_job {
	const qmdi_optimizer *optimizer;
	const float *const *gradients;
	float correction1, correction2;
} step_job;

static int has_moment1(const qmdi_optimizer *optimizer) {
	return optimizer->kind == QMD_OPTIMIZER_ADAM;
}

static qmd_status make_moments(qmdi_optimizer *optimizer) {
	optimizer->moment1 = qmdi_zeroed(optimizer->n_arrays, sizeof *optimizer->moment1);
	optimizer->moment2 = qmdi_zeroed(optimizer->n_arrays, sizeof *optimizer->moment2);
	if (!optimizer->moment1 || !optimizer->moment2)
		return QMD_ERROR_MEMORY;
	for (size_t a = 0; a < optimizer->n_arrays; a++) {
		const size_t n = optimizer->arrays[a].n;
		if (has_moment1(optimizer) && !(optimizer->moment1[a] = qmdi_zeroed(n, sizeof(float))))
			return QMD_ERROR_MEMORY;
		if (!(optimizer->moment2[a] = qmdi_zeroed(n, sizeof(float))))
			return QMD_ERROR_MEMORY;
	}
	return QMD_OK;
}

static qmd_status make_tasks(qmdi_optimizer *optimizer) {
	for (size_t a = 0; a < optimizer->n_arrays; a++)
		optimizer->n_tasks += (optimizer->arrays[a].n + TASK_SIZE - 1) / TASK_SIZE;
	optimizer->tasks = qmdi_array(optimizer->n_tasks, sizeof *optimizer->tasks);
	if (!optimizer->tasks)
		return QMD_ERROR_MEMORY;
	task *next = optimizer->tasks;
	for (size_t a = 0; a < optimizer->n_arrays; a++)
		for (size_t first = 0; first < optimizer->arrays[a].n; first += TASK_SIZE) {
			const size_t left = optimizer->arrays[a].n - first;
			*next++ = (task){a, first, left < TASK_SIZE ? left : TASK_SIZE};
		}
	return QMD_OK;
}

qmd_status qmdi_optimizer_create(const qmd_train_options *options, const qmdi_trained *arrays, size_t n_arrays,
								 qmdi_pool *pool, qmdi_optimizer **result) {
	qmdi_optimizer *optimizer = qmdi_zeroed(1, sizeof *optimizer);
	if (!optimizer)
		return QMD_ERROR_MEMORY;
	optimizer->kind = (qmd_optimizer)options->optimizer;
	optimizer->learning_rate = (float)options->learning_rate;
	optimizer->beta1 = (float)options->beta1;
	optimizer->beta2 = (float)options->beta2;
	optimizer->epsilon = (float)options->epsilon;
	optimizer->decay = (float)(options->learning_rate * options->weight_decay);
	optimizer->pool = pool;
	optimizer->n_arrays = n_arrays;
	optimizer->arrays = qmdi_copy(arrays, n_arrays, sizeof *arrays);
	qmd_status status = optimizer->arrays ? make_moments(optimizer) : QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		status = make_tasks(optimizer);
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
			qmdi_release(optimizer->moment1[a]);
		if (optimizer->moment2)
			qmdi_release(optimizer->moment2[a]);
	}
	qmdi_release(optimizer->moment1);
	qmdi_release(optimizer->moment2);
	qmdi_release(optimizer->arrays);
	qmdi_release(optimizer->tasks);
	qmdi_release(optimizer);
}

/* Moments of parameters whose gradient has become 0 decay for ever; as subnormal numbers they would cost a hundred
 * times the cycles and change no weight. */
static float without_subnormal(float x) {
	return fabsf(x) < FLT_MIN ? 0.0f : x;
}

/* Kingma and Ba 2015, algorithm 1; the decay is that of Loshchilov and Hutter 2019. */
static void adam_task(const step_job *job, const task *t) {
	const qmdi_optimizer *o = job->optimizer;
	const float beta1 = o->beta1, beta2 = o->beta2, epsilon = o->epsilon, rate = o->learning_rate;
	const float keep = o->arrays[t->array].decays ? 1.0f - o->decay : 1.0f;
	const float *restrict gradient = job->gradients[t->array] + t->first;
	float *restrict m = o->moment1[t->array] + t->first;
	float *restrict v = o->moment2[t->array] + t->first;
	float *restrict w = o->arrays[t->array].values + t->first;
	for (size_t i = 0; i < t->n; i++) {
		const float g = gradient[i];
		m[i] = without_subnormal(beta1 * m[i] + (1.0f - beta1) * g);
		v[i] = without_subnormal(beta2 * v[i] + (1.0f - beta2) * (g * g));
		w[i] = keep * w[i] - rate * (m[i] / job->correction1) / (sqrtf(v[i] / job->correction2) + epsilon);
	}
}

/* Tieleman and Hinton, lecture 6e of 'Neural networks for machine learning', 2012. */
static void rmsprop_task(const step_job *job, const task *t) {
	const qmdi_optimizer *o = job->optimizer;
	const float rho = o->beta2, epsilon = o->epsilon, rate = o->learning_rate;
	const float keep = o->arrays[t->array].decays ? 1.0f - o->decay : 1.0f;
	const float *restrict gradient = job->gradients[t->array] + t->first;
	float *restrict v = o->moment2[t->array] + t->first;
	float *restrict w = o->arrays[t->array].values + t->first;
	for (size_t i = 0; i < t->n; i++) {
		const float g = gradient[i];
		v[i] = without_subnormal(rho * v[i] + (1.0f - rho) * (g * g));
		w[i] = keep * w[i] - rate * g / (sqrtf(v[i]) + epsilon);
	}
}

static void run_task(void *data, size_t index, size_t worker) {
	(void)worker;
	const step_job *job = data;
	const task *t = &job->optimizer->tasks[index];
	if (job->optimizer->kind == QMD_OPTIMIZER_ADAM)
		adam_task(job, t);
	else
		rmsprop_task(job, t);
}

void qmdi_optimizer_step(qmdi_optimizer *optimizer, const float *const *gradients) {
	optimizer->n_steps++;
	const double n = (double)optimizer->n_steps;
	step_job job = {optimizer, gradients, (float)(1.0 - pow(optimizer->beta1, n)),
					(float)(1.0 - pow(optimizer->beta2, n))};
	qmdi_pool_run(optimizer->pool, run_task, &job, optimizer->n_tasks);
}

void qmdi_optimizer_write(const qmdi_optimizer *optimizer, qmdi_writer *writer) {
	qmdi_put_u64(writer, optimizer->n_steps);
	for (size_t a = 0; a < optimizer->n_arrays; a++) {
		if (has_moment1(optimizer))
			qmdi_put_f32_array(writer, optimizer->moment1[a], optimizer->arrays[a].n);
		qmdi_put_f32_array(writer, optimizer->moment2[a], optimizer->arrays[a].n);
	}
}

static void read_moment(qmdi_reader *reader, float **moment, size_t n) {
	float *values = qmdi_get_f32_array(reader, n);
	if (!values)
		return;
	qmdi_release(*moment);
	*moment = values;
}

qmd_status qmdi_optimizer_read(qmdi_optimizer *optimizer, qmdi_reader *reader) {
	optimizer->n_steps = qmdi_get_u64(reader);
	for (size_t a = 0; a < optimizer->n_arrays; a++) {
		if (has_moment1(optimizer))
			read_moment(reader, &optimizer->moment1[a], optimizer->arrays[a].n);
		read_moment(reader, &optimizer->moment2[a], optimizer->arrays[a].n);
	}
	return reader->status;
}
