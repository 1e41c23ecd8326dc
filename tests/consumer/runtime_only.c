/*
 * A program that links against the full library or the runtime alone.
 *
 *     consumer make FILE    make an engine of made-up images; exit status 3 where the library leaves that out
 *     consumer run FILE     print what the engine says of made-up images
 */
#include <qmd.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 12
#define N_IMAGES 16
#define N_CLASSES 3

static unsigned char images[N_IMAGES * SIDE * SIDE * 3];

static void make_images(void) {
	uint32_t state = 1;
	for (size_t i = 0; i < sizeof images; i++) {
		state = state * 1664525u + 1013904223u;
		images[i] = (unsigned char)(state >> 24);
	}
}

static int say(qmd_status status) {
	fprintf(stderr, "%s: %s\n", qmd_status_name(status), qmd_last_error());
	return status == QMD_ERROR_UNSUPPORTED ? 3 : 1;
}

static int make(const char *path) {
	const uint32_t labels[N_IMAGES] = {0};
	qmd_model *model = NULL, *quantized = NULL;
	qmd_engine *engine = NULL;
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.epochs = 0;
	const qmd_shape shape = {SIDE, SIDE, 3};
	qmd_status status = qmd_model_create_preset("icnnmd", shape, N_CLASSES, 1, &model);
	if (status == QMD_OK)
		status = qmd_quantize_images(model, images, QMD_U8, labels, N_IMAGES, &options, &quantized);
	if (status == QMD_OK)
		status = qmd_engine_compile(quantized, NULL, &engine);
	if (status == QMD_OK)
		status = qmd_engine_save(engine, path);
	const int result = status == QMD_OK ? 0 : say(status);
	qmd_engine_free(engine);
	qmd_model_free(quantized);
	qmd_model_free(model);
	return result;
}

static int run(const char *path) {
	float logits[N_IMAGES * N_CLASSES], probabilities[N_IMAGES * N_CLASSES];
	const qmd_output outputs[] = {{"logits", logits}, {"probabilities", probabilities}};
	qmd_engine *engine = NULL;
	qmd_context *context = NULL;
	qmd_status status = qmd_engine_load(path, &engine);
	if (status == QMD_OK)
		status = qmd_context_create(engine, NULL, &context);
	if (status == QMD_OK)
		status = qmd_context_run_images(context, images, N_IMAGES, outputs, 2);
	for (size_t i = 0; status == QMD_OK && i < N_IMAGES * N_CLASSES; i++)
		printf("%a %a\n", (double)logits[i], (double)probabilities[i]);
	const int result = status == QMD_OK ? 0 : say(status);
	qmd_context_free(context);
	qmd_engine_free(engine);
	return result;
}

int main(int argc, char **argv) {
	if (argc != 3)
		return 2;
	make_images();
	return strcmp(argv[1], "make") == 0 ? make(argv[2]) : run(argv[2]);
}
