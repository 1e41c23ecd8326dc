/*
 * Writes what a network computes for test_training_step.py: graph, images, parameters, outputs, gradients, and the
 * parameters after steps of Adam, as raw float32 files beside graph.json.
 *
 *     training_step_dump preset|residual|w8a8|w4a4 DEVICE FOLDER
 */
#include <errno.h>
#include <stdio.h>

#include "network_fixture.h"
#include "train/optimizer.h"

#define MAX_BATCH 4
#define MAX_ARRAYS 64
#define N_STEPS 2
#define SEED 11u

static const uint32_t labels[MAX_BATCH] = {1, 0, 1, 0};

typedef struct dump {
	qmd_model *model;
	qmdi_replica *replica;
	qmdi_network *network;
	size_t batch, n_real;
	const char *device, *folder;
} dump;

static void write_floats(const dump *d, const char *stage, const char *layer, const char *what, const float *values,
						 size_t n) {
	char path[4096];
	snprintf(path, sizeof path, "%s/%s.%s.%s.f32", d->folder, stage, layer, what);
	qmdt_write_file(path, values, n * sizeof *values);
}

static void write_parameters(const dump *d, const char *stage) {
	static const char *const of_batchnorm[] = {"gamma", "beta", "mean", "variance"};
	static const char *const of_linear[] = {"weight", "bias", "", ""};
	for (size_t i = 0; i < d->model->n_layers; i++) {
		const qmdi_layer *layer = &d->model->layers[i];
		const char *const *names = layer->definition.kind == QMD_LAYER_BATCHNORM ? of_batchnorm : of_linear;
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			if (layer->n_parameters[p])
				write_floats(d, stage, layer->name, names[p], layer->parameters[p], layer->n_parameters[p]);
		if (layer->weight_scales)
			write_floats(d, stage, layer->name, "weight_scales", layer->weight_scales, layer->definition.units);
	}
}

static void write_outputs(const dump *d) {
	for (size_t i = 0; i < d->model->n_layers; i++) {
		const qmd_shape shape = d->model->layers[i].output;
		write_floats(d, "forward", d->model->layers[i].name, "output", qmdt_output(d->network, i),
					 d->batch * shape.h * shape.w * shape.c);
	}
}

static void write_gradients(const dump *d) {
	for (size_t i = 0; i < d->model->n_layers; i++) {
		const qmdi_layer *layer = &d->model->layers[i];
		for (size_t p = 0; p < 2; p++)
			if (layer->n_parameters[p])
				write_floats(d, "gradient", layer->name, p ? "1" : "0", qmdi_network_gradient(d->network, i, p),
							 layer->n_parameters[p]);
		float activation, *weight = calloc(layer->definition.units + 1, sizeof *weight);
		ck_assert_ptr_nonnull(weight);
		qmdt_ok(qmdi_network_scale_gradients(d->network, i, weight, &activation));
		if (layer->weight_scales)
			write_floats(d, "gradient", layer->name, "weight_scales", weight, layer->definition.units);
		free(weight);
		write_floats(d, "gradient", layer->name, "activation_scale", &activation, 1);
	}
}

static void write_layer(FILE *file, const qmdi_layer *layer) {
	const qmd_layer *l = &layer->definition;
	fprintf(file,
			"{\"name\": \"%s\", \"kind\": \"%s\", \"inputs\": [%d, %d], \"shape\": [%u, %u, %u], \"units\": %u, "
			"\"kernel\": [%u, %u], \"stride\": [%u, %u], \"pad\": [%u, %u, %u, %u], \"rate\": %.9g, "
			"\"epsilon\": %.9g, \"momentum\": %.9g, \"activation_scale\": %.9g}",
			layer->name, qmdi_layer_kind_name(l->kind), l->inputs[0], l->inputs[1], layer->output.h, layer->output.w,
			layer->output.c, l->units, l->kernel_h, l->kernel_w, l->stride_h, l->stride_w, l->pad_top, l->pad_bottom,
			l->pad_left, l->pad_right, (double)l->rate, (double)l->epsilon, (double)l->momentum,
			(double)layer->activation_scale);
}

static void write_graph(const dump *d, double loss, size_t n_right, const qmd_train_options *options) {
	char path[4096];
	snprintf(path, sizeof path, "%s/graph.json", d->folder);
	FILE *file = fopen(path, "w");
	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	fprintf(file,
			"{\"batch\": %zu, \"n_real\": %zu, \"labels\": [%u, %u, %u, %u], \"seed\": %u, \"n_steps\": %d, "
			"\"loss\": %.17g, \"n_right\": %zu, \"weight_bits\": %u, \"activation_bits\": %u, "
			"\"adam\": {\"rate\": %.17g, \"beta1\": %.17g, \"beta2\": %.17g, \"epsilon\": %.17g},\n\"layers\": [\n",
			d->batch, d->n_real, labels[0], labels[1], labels[2], labels[3], SEED, N_STEPS, loss, n_right,
			d->model->weight_bits, d->model->activation_bits, options->learning_rate, options->beta1, options->beta2,
			options->epsilon);
	for (size_t i = 0; i < d->model->n_layers; i++) {
		write_layer(file, &d->model->layers[i]);
		fputs(i + 1 < d->model->n_layers ? ",\n" : "\n", file);
	}
	fputs("]}\n", file);
	ck_assert_int_eq(fclose(file), 0);
}

/* The nets; batchnorm counts filling images, so that there all are real. */
static void build(dump *d, const char *name) {
	const int is_preset = strcmp(name, "preset") == 0;
	if (is_preset)
		qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){13, 13, 3}, 2, 1, &d->model));
	else
		d->model = qmdt_residual_net(strcmp(name, "residual") == 0);
	d->batch = is_preset ? 3 : MAX_BATCH;
	d->n_real = is_preset ? 2 : strcmp(name, "residual") == 0 ? MAX_BATCH : 3;
	if (!is_preset)
		qmdt_draw_parameters(d->model, 3);
	float images[MAX_BATCH * 13 * 13 * 3];
	const qmd_shape shape = d->model->layers[0].output;
	qmdt_draw_images(3, images, d->batch * shape.h * shape.w * shape.c);
	if (name[0] == 'w')
		qmdt_quantize(d->model, (uint32_t)(name[1] - '0'), (uint32_t)(name[3] - '0'), images, d->batch);
	qmdt_ok(qmdi_replica_create(d->model, d->device, 2, &d->replica));
	qmdt_ok(qmdi_network_create(d->replica, d->batch, QMDI_BACKWARD_PARAMETERS, &d->network));
	memcpy(qmdi_network_input(d->network), images, d->batch * shape.h * shape.w * shape.c * sizeof *images);
}

static qmdi_optimizer *create_optimizer(const dump *d, const qmd_train_options *options, const float **gradients) {
	qmdi_trained arrays[MAX_ARRAYS];
	size_t n = 0;
	for (size_t i = 0; i < d->model->n_layers; i++)
		for (size_t p = 0; p < 2; p++) {
			const qmdi_layer *layer = &d->model->layers[i];
			if (!layer->n_parameters[p])
				continue;
			ck_assert_uint_lt(n, MAX_ARRAYS);
			arrays[n] = (qmdi_trained){.values = layer->parameters[p], .n = layer->n_parameters[p]};
			gradients[n++] = qmdi_network_gradient(d->network, i, p);
		}
	qmdi_optimizer *optimizer;
	qmdt_ok(qmdi_optimizer_create(options, arrays, n, qmdi_replica_device(d->replica), &optimizer));
	return optimizer;
}

/* The gradients written are those of the first step, the parameters those after all steps. */
static void run(dump *d) {
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.learning_rate = 0.01;
	options.epsilon = 0.01; /* so large that a step depends on how large a gradient is */
	const float *gradients[MAX_ARRAYS];
	qmdi_optimizer *optimizer = create_optimizer(d, &options, gradients);
	write_parameters(d, "before");
	for (uint64_t step = 0; step < N_STEPS; step++) {
		double loss;
		size_t n_right;
		qmdt_ok(qmdi_network_forward(d->network, QMDI_TRAINING, SEED, step));
		qmdt_ok(qmdi_network_backward(d->network, labels, d->n_real, &loss, &n_right));
		if (step == 0) {
			write_outputs(d);
			write_gradients(d);
			write_graph(d, loss, n_right, &options);
		}
		qmdt_ok(qmdi_optimizer_step(optimizer, gradients));
	}
	write_parameters(d, "after");
	qmdi_optimizer_free(optimizer);
}

static const char *case_name, *device, *folder;

/* Check's assertions want to be inside of a test. */
START_TEST(write_everything) {
	dump d = {.device = device, .folder = folder};
	build(&d, case_name);
	run(&d);
	qmdi_network_free(d.network);
	qmdi_replica_release(d.replica);
	qmd_model_free(d.model);
}
END_TEST

int main(int argc, char **argv) {
	if (argc != 4) {
		fprintf(stderr, "usage: %s preset|residual|w8a8|w4a4 DEVICE FOLDER\n", argv[0]);
		return 2;
	}
	case_name = argv[1];
	device = argv[2];
	folder = argv[3];
	Suite *suite = suite_create("dump");
	TCase *writing = tcase_create("write");
	tcase_add_test(writing, write_everything);
	suite_add_tcase(suite, writing);
	return qmdt_run(suite);
}
