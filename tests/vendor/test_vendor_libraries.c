/*
 * The real cuDNN and cuBLAS on a machine that needs no GPU: what can be found, made and planned without one. cuDNN
 * plans for a device by its properties alone; nothing of it runs.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "cuda/vendor/cudnn_graph.h"
#include "tensor_fixture.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define TEXT_SIZE 8192

static const qmdi_vendor *vendor;

/* ---- What is found ---- */

START_TEST(every_function_is_found) {
#define IS_SET(function) ck_assert_msg(vendor->function != NULL, #function);
	QMDI_CUDNN_FUNCTIONS(IS_SET)
	QMDI_CUBLAS_FUNCTIONS(IS_SET)
#undef IS_SET
}
END_TEST

START_TEST(versions_are_those_of_the_headers) {
	int major = 0;
	ck_assert_uint_eq(vendor->cudnnGetVersion() / 10000, CUDNN_MAJOR);
	ck_assert_uint_ge(vendor->cudnnGetVersion(), QMDI_CUDNN_OLDEST);
	ck_assert_int_eq(vendor->cublasGetProperty(MAJOR_VERSION, &major), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(major, CUBLAS_VER_MAJOR);
}
END_TEST

START_TEST(there_is_one_table) {
	const qmdi_vendor *again = NULL;
	qmdt_ok(qmdi_vendor_open(&again));
	ck_assert_ptr_eq(again, vendor);
}
END_TEST

/* ---- Libraries that do not serve: another process of this program, which looks elsewhere ---- */

/* What it prints; `before` is what stands before its name in the shell. */
static void open_elsewhere(const char *before, char text[TEXT_SIZE]) {
	char self[TEXT_SIZE / 4] = "", command[TEXT_SIZE];
	ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
	snprintf(command, sizeof command, "%s '%s' --open 2>&1", before, self);
	FILE *child = popen(command, "r");
	ck_assert_ptr_nonnull(child);
	text[fread(text, 1, TEXT_SIZE - 1, child)] = '\0';
	pclose(child);
}

static int open_and_tell(void) {
	const qmd_status status = qmdi_vendor_open(&vendor);
	printf("%s: %s\n", qmd_status_name(status), status == QMD_OK ? "" : qmd_last_error());
	return EXIT_SUCCESS;
}

static void fails_elsewhere(const char *before, const char *const *parts, size_t n) {
	char text[TEXT_SIZE];
	open_elsewhere(before, text);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(strstr(text, parts[i]) != NULL, "'%s' is not in '%s'", parts[i], text);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1); /* nobody printed a line of his own */
}

#define FAILS_ELSEWHERE(before, ...)                                                                                   \
	do {                                                                                                               \
		const char *const parts[] = {"QMD_ERROR_UNSUPPORTED", __VA_ARGS__};                                            \
		fails_elsewhere(before, parts, LENGTH(parts));                                                                 \
	} while (0)

START_TEST(a_library_that_does_not_serve_is_named) {
	char before[TEXT_SIZE / 2];
	const char *garbage = qmdt_scratch("libcudnn.so.9");
	qmdt_write_file(garbage, "no library", 10);
	snprintf(before, sizeof before, "LD_LIBRARY_PATH='%.*s'", (int)(strrchr(garbage, '/') - garbage), garbage);
	FAILS_ELSEWHERE(before, "libcudnn.so.9", "file too short");
	remove(garbage);
	FAILS_ELSEWHERE("LD_LIBRARY_PATH='" STUB_BARE "'", "libcudnn.so.9", "cudnnGetErrorString");
	FAILS_ELSEWHERE("LD_LIBRARY_PATH='" STUB_OLD "'", "libcudnn.so.9", "8.9.7", "9.0");
	FAILS_ELSEWHERE("LD_LIBRARY_PATH='" STUB_CUBLAS_OTHER "'", "libcublas.so", "99");
}
END_TEST

/* A folder with a link to the file that a function is from. */
static void link_library(const char *folder, void *function, const char *name) {
	char path[TEXT_SIZE / 2];
	Dl_info info;
	ck_assert_int_ne(dladdr(function, &info), 0);
	char *real = realpath(info.dli_fname, NULL);
	ck_assert_ptr_nonnull(real);
	snprintf(path, sizeof path, "%s/%s", folder, name);
	ck_assert_int_eq(symlink(real, path), 0);
	free(real);
}

/* cuDNN alone would end the process. */
START_TEST(a_cudnn_without_its_parts_is_refused) {
	char before[TEXT_SIZE / 2], folder[TEXT_SIZE / 4];
	const char *name = qmdt_scratch("libcudnn.so.9");
	void *of_cudnn, *of_cublas, *library = dlopen("libcublasLt.so." STUB_CUBLAS_MAJOR, RTLD_NOW);
	memcpy(&of_cudnn, &vendor->cudnnCreate, sizeof of_cudnn);
	memcpy(&of_cublas, &vendor->cublasCreate_v2, sizeof of_cublas);
	ck_assert_ptr_nonnull(library);
	snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(name, '/') - name), name);
	link_library(folder, of_cudnn, "libcudnn.so.9");
	link_library(folder, of_cublas, "libcublas.so." STUB_CUBLAS_MAJOR);
	link_library(folder, dlsym(library, "cublasLtCreate"), "libcublasLt.so." STUB_CUBLAS_MAJOR);
	dlclose(library);
	snprintf(before, sizeof before, "/lib64/ld-linux-x86-64.so.2 --inhibit-cache --library-path '%s'", folder);
	FAILS_ELSEWHERE(before, "libcudnn_graph.so.9");
}
END_TEST

/* ---- The column without a device ---- */

START_TEST(the_column_without_a_device_says_what_is_missing) {
	qmdi_tensor_device device = {.ops = qmdi_tensor_cudnn};
	ck_assert_ptr_nonnull(qmdi_tensor_cudnn);
	const qmd_status status = qmdi_tensor_cudnn->open(&device, 0, 1);
	if (status == QMD_OK) {
		fprintf(stderr, "SKIPPED: there is a GPU, so nothing says that there is none\n");
		qmdi_tensor_cudnn->close(&device);
		return;
	}
	ck_assert_int_eq(status, QMD_ERROR_UNSUPPORTED);
	ck_assert_msg(strstr(qmd_last_error(), "no driver") || strstr(qmd_last_error(), "no device"), "%s",
				  qmd_last_error());
}
END_TEST

/* ---- Sizes ---- */

static const qmd_shape input_shape = {23, 18, 5};

/* A layer of a model whose input is the shape above. */
static void add_layer(const qmd_layer *wanted, qmd_layer *layer, qmd_shape *output) {
	qmd_model *model;
	qmdt_ok(qmd_model_create(input_shape, &model));
	qmdt_ok(qmd_model_add(model, wanted, NULL));
	qmdt_ok(qmd_model_layer(model, 1, layer, output));
	qmd_model_free(model);
}

START_TEST(cudnn_pools_to_the_models_shapes) {
	static const uint32_t windows[][4] = {{2, 2, 2, 2}, {3, 2, 1, 2}, {5, 7, 3, 4}, {23, 18, 1, 1}, {1, 1, 1, 3}};
	for (size_t i = 0; i < LENGTH(windows); i++) {
		const uint32_t *window = windows[i];
		qmd_layer layer;
		qmd_shape output;
		cudnnPoolingDescriptor_t pool;
		cudnnTensorDescriptor_t x;
		int n = 0, c = 0, h = 0, w = 0;
		qmd_layer_init(&layer, QMD_LAYER_MAXPOOL);
		layer.kernel_h = window[0], layer.kernel_w = window[1], layer.stride_h = window[2], layer.stride_w = window[3];
		add_layer(&layer, &layer, &output);
		ck_assert_int_eq(vendor->cudnnCreatePoolingDescriptor(&pool), 0);
		ck_assert_int_eq(vendor->cudnnCreateTensorDescriptor(&x), 0);
		ck_assert_int_eq(vendor->cudnnSetPooling2dDescriptor(pool, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN,
															 (int)window[0], (int)window[1], 0, 0, (int)window[2],
															 (int)window[3]),
						 0);
		ck_assert_int_eq(vendor->cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 4, 5, 23, 18), 0);
		ck_assert_int_eq(vendor->cudnnGetPooling2dForwardOutputDim(pool, x, &n, &c, &h, &w), 0);
		ck_assert(n == 4 && c == 5 && h == (int)output.h && w == (int)output.w);
		ck_assert_int_eq(vendor->cudnnDestroyTensorDescriptor(x), 0);
		ck_assert_int_eq(vendor->cudnnDestroyPoolingDescriptor(pool), 0);
	}
}
END_TEST

/* ---- Plans for devices that are not there ---- */

/* Figures of the CUDA C++ programming guide's table of compute capabilities and of the data sheets. */
static const struct {
	const char *name;
	int capability, n_multiprocessors, shared_bytes, reserved_bytes, n_blocks, n_threads, l2_bytes;
	long long memory;
} devices[] = {
	{"Tesla T4", 750, 40, 65536, 0, 16, 1024, 4194304, 15843721216},
	{"NVIDIA A100-SXM4-80GB", 800, 108, 166912, 1024, 32, 2048, 41943040, 85174386688},
	{"NVIDIA GeForce RTX 4090", 890, 128, 101376, 1024, 24, 1536, 75497472, 25386352640},
	{"NVIDIA H100 80GB HBM3", 900, 132, 232448, 1024, 32, 2048, 52428800, 85017624576},
	{"NVIDIA H200", 900, 132, 232448, 1024, 32, 2048, 62914560, 150754820096},
	{"NVIDIA B200", 1000, 148, 232448, 1024, 32, 2048, 132644864, 192265846784},
};

/* cuDNN for a device that is not there; destroy `properties`. */
static qmdi_cudnn absent_device(const qmdi_vendor *table, size_t i) {
	char json[TEXT_SIZE];
	qmdi_cudnn cudnn = {.vendor = table};
	snprintf(json, sizeof json,
			 "{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"
			 "\"multiProcessorCount\":%d,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
			 "\"maxSharedMemoryPerBlockOptin\":%d,\"reservedSharedMemoryPerBlock\":%d,\"maxRegistersPerSM\":65536,"
			 "\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,\"pciDeviceId\":0,"
			 "\"isTccDriver\":0,\"supportCoopLaunch\":1,\"totalGlobalMem\":%lld,\"smClockRateKHz\":1500000,"
			 "\"memClockRateKHz\":2000000,\"l2CacheSize\":%d,\"cudaDeviceId\":0,\"deviceVer\":%d,"
			 "\"driverVer\":%d,\"deviceName\":\"%s\"}",
			 devices[i].n_multiprocessors, devices[i].shared_bytes, devices[i].reserved_bytes, devices[i].n_blocks,
			 devices[i].n_threads, devices[i].memory, devices[i].l2_bytes, devices[i].capability, CUDART_VERSION,
			 devices[i].name);
	qmdt_ok(
		QMDI_CUDNN_CALL(vendor, cudnnBackendCreateDescriptor, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &cudnn.properties));
	qmdt_ok(QMDI_CUDNN_CALL(vendor, cudnnBackendSetAttribute, cudnn.properties,
							CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json), json));
	qmdt_ok(QMDI_CUDNN_CALL(vendor, cudnnBackendFinalize, cudnn.properties));
	return cudnn;
}

/* Kernel, stride, units, padding: top left bottom right where it is explicit. */
static const struct {
	uint32_t kernel[2], stride[2], units;
	int32_t padding;
	uint32_t pad[4];
} convolutions[] = {
	{{3, 3}, {1, 1}, 32, QMD_PADDING_SAME, {0}},
	{{3, 3}, {1, 1}, 32, QMD_PADDING_VALID, {0}},
	{{3, 5}, {2, 2}, 7, QMD_PADDING_SAME, {0}}, /* not the same on both sides */
	{{5, 3}, {2, 3}, 1, QMD_PADDING_EXPLICIT, {0, 2, 3, 1}},
	{{1, 1}, {1, 1}, 64, QMD_PADDING_VALID, {0}},
	{{1, 1}, {2, 2}, 3, QMD_PADDING_VALID, {0}},
	{{23, 18}, {1, 1}, 10, QMD_PADDING_VALID, {0}},
};

static qmdi_linear_shape convolution_shape(size_t i, size_t batch) {
	qmd_layer layer;
	qmd_shape output;
	qmd_layer_init(&layer, QMD_LAYER_CONV2D);
	layer.kernel_h = convolutions[i].kernel[0], layer.kernel_w = convolutions[i].kernel[1];
	layer.stride_h = convolutions[i].stride[0], layer.stride_w = convolutions[i].stride[1];
	layer.units = convolutions[i].units;
	layer.padding = convolutions[i].padding;
	layer.pad_top = convolutions[i].pad[0], layer.pad_left = convolutions[i].pad[1];
	layer.pad_bottom = convolutions[i].pad[2], layer.pad_right = convolutions[i].pad[3];
	add_layer(&layer, &layer, &output);
	return (qmdi_linear_shape){
		.name = "conv",
		.is_convolution = 1,
		.batch = batch,
		.input = input_shape,
		.output = output,
		.kernel_h = layer.kernel_h,
		.kernel_w = layer.kernel_w,
		.stride_h = layer.stride_h,
		.stride_w = layer.stride_w,
		.pad_top = layer.pad_top,
		.pad_left = layer.pad_left,
		.pad_bottom = layer.pad_bottom,
		.pad_right = layer.pad_right,
	};
}

static const uint32_t in_any_order = 1U << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
static const uint32_t not_fp32 = 1U << CUDNN_NUMERICAL_NOTE_TENSOR_CORE |
								 1U << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS |
								 1U << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
static const uint32_t not_products = 1U << CUDNN_NUMERICAL_NOTE_FFT | 1U << CUDNN_NUMERICAL_NOTE_WINOGRAD;

/* cuDNN checks the output's extents against its own. Asked again it must choose the same. */
static void plan_convolution(const qmdi_cudnn *cudnn, const qmdi_cudnn_convolution *convolution, uint32_t forbidden) {
	qmdi_cudnn_plan *plan, *again;
	uint32_t notes, notes_again;
	qmdt_ok(qmdi_cudnn_plan_create(cudnn, convolution, &plan));
	qmdt_ok(qmdi_cudnn_plan_create(cudnn, convolution, &again));
	ck_assert_int_eq(qmdi_cudnn_plan_engine(plan, &notes), qmdi_cudnn_plan_engine(again, &notes_again));
	ck_assert_uint_eq(qmdi_cudnn_plan_workspace(plan), qmdi_cudnn_plan_workspace(again));
	ck_assert_uint_eq(notes, notes_again);
	ck_assert_uint_eq(notes & forbidden, 0);
	ck_assert_uint_le(qmdi_cudnn_plan_workspace(plan), (size_t)512 << 20);
	qmdi_cudnn_plan_free(again);
	qmdi_cudnn_plan_free(plan);
}

START_TEST(convolutions_of_the_models_shapes_have_plans) {
	const qmdi_cudnn cudnn = absent_device(vendor, (size_t)_i);
	static const size_t batches[] = {1, 32, 1024};
	for (size_t i = 0; i < LENGTH(convolutions); i++)
		for (size_t b = 0; b < LENGTH(batches); b++) {
			const qmdi_linear_shape shape = convolution_shape(i, batches[b]);
			for (int direction = QMDI_CUDNN_FORWARD; direction <= QMDI_CUDNN_BACKWARD_WEIGHTS; direction++) {
				const qmdi_cudnn_convolution strict = {&shape, (qmdi_cudnn_direction)direction, CUDNN_DATA_FLOAT, 0, 0};
				plan_convolution(&cudnn, &strict, in_any_order | not_fp32 | not_products);
			}
		}
	(void)vendor->cudnnBackendDestroyDescriptor(cudnn.properties);
}
END_TEST

/* What the columns are compared over, with all directions. */
START_TEST(convolutions_of_the_columns_tests_have_plans) {
	const qmdi_cudnn cudnn = absent_device(vendor, (size_t)_i);
	qmdi_linear_shape shape;
	for (size_t i = 0; qmdt_linear_shape(i, &shape); i++)
		for (int direction = QMDI_CUDNN_FORWARD; direction <= QMDI_CUDNN_BACKWARD_WEIGHTS; direction++) {
			const qmdi_cudnn_convolution strict = {&shape, (qmdi_cudnn_direction)direction, CUDNN_DATA_FLOAT, 0, 0};
			if (shape.is_convolution)
				plan_convolution(&cudnn, &strict, in_any_order | not_fp32 | not_products);
		}
	(void)vendor->cudnnBackendDestroyDescriptor(cudnn.properties);
}
END_TEST

START_TEST(half_precision_has_fused_plans) {
	const qmdi_cudnn cudnn = absent_device(vendor, (size_t)_i);
	for (size_t i = 0; i < LENGTH(convolutions); i++) {
		const qmdi_linear_shape shape = convolution_shape(i, 32);
		const qmdi_cudnn_convolution plain = {&shape, QMDI_CUDNN_FORWARD, CUDNN_DATA_HALF, 0, 0};
		const qmdi_cudnn_convolution biased = {&shape, QMDI_CUDNN_FORWARD, CUDNN_DATA_HALF, 1, 0};
		const qmdi_cudnn_convolution fused = {&shape, QMDI_CUDNN_FORWARD, CUDNN_DATA_HALF, 1, 1};
		plan_convolution(&cudnn, &plain, in_any_order);
		plan_convolution(&cudnn, &biased, in_any_order);
		plan_convolution(&cudnn, &fused, in_any_order);
	}
	(void)vendor->cudnnBackendDestroyDescriptor(cudnn.properties);
}
END_TEST

/* As one graph INT8 takes cuDNN's compiler, which takes a driver: it is planned or refused, with cuDNN's words. */
START_TEST(int8_has_plans_for_sums) {
	const qmdi_cudnn cudnn = absent_device(vendor, (size_t)_i);
	for (size_t i = 0; i < LENGTH(convolutions); i++) {
		const qmdi_linear_shape shape = convolution_shape(i, 32);
		const qmdi_cudnn_convolution sums = {&shape, QMDI_CUDNN_FORWARD, CUDNN_DATA_INT8, 0, 0};
		const qmdi_cudnn_convolution fused = {&shape, QMDI_CUDNN_FORWARD, CUDNN_DATA_INT8, 1, 1};
		qmdi_cudnn_plan *plan = NULL;
		plan_convolution(&cudnn, &sums, in_any_order);
		if (qmdi_cudnn_plan_create(&cudnn, &fused, &plan) != QMD_OK)
			ck_assert_msg(strstr(qmd_last_error(), "layer 'conv': cuDNN has no plan for the convolution in INT8"), "%s",
						  qmd_last_error());
		qmdi_cudnn_plan_free(plan);
	}
	(void)vendor->cudnnBackendDestroyDescriptor(cudnn.properties);
}
END_TEST

START_TEST(a_wrong_output_is_refused_with_the_layers_name) {
	const qmdi_cudnn cudnn = absent_device(vendor, 0);
	for (size_t i = 0; i < LENGTH(convolutions); i++)
		for (int direction = QMDI_CUDNN_FORWARD; direction <= QMDI_CUDNN_BACKWARD_WEIGHTS; direction++) {
			qmdi_linear_shape shape = convolution_shape(i, 2);
			const qmdi_cudnn_convolution wrong = {&shape, (qmdi_cudnn_direction)direction, CUDNN_DATA_FLOAT, 0, 0};
			qmdi_cudnn_plan *plan = NULL;
			shape.output.h++;
			ck_assert_int_ne(qmdi_cudnn_plan_create(&cudnn, &wrong, &plan), QMD_OK);
			ck_assert_msg(strstr(qmd_last_error(), "layer 'conv'") && strstr(qmd_last_error(), "cuDNN"), "%s",
						  qmd_last_error());
			ck_assert_ptr_null(plan);
		}
	(void)vendor->cudnnBackendDestroyDescriptor(cudnn.properties);
}
END_TEST

/* ---- Failures: cuDNN's own table, with calls that count and that fail ---- */

static long n_alive, n_calls, failing_call;

static int fails_now(void) {
	return ++n_calls == failing_call;
}

static cudnnStatus_t create_and_count(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *descriptor) {
	if (fails_now())
		return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
	const cudnnStatus_t status = vendor->cudnnBackendCreateDescriptor(type, descriptor);
	n_alive += status == CUDNN_STATUS_SUCCESS;
	return status;
}

static cudnnStatus_t destroy_and_count(cudnnBackendDescriptor_t descriptor) {
	n_alive--;
	return vendor->cudnnBackendDestroyDescriptor(descriptor);
}

static cudnnStatus_t set_or_fail(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
								 cudnnBackendAttributeType_t type, int64_t n, const void *values) {
	return fails_now() ? CUDNN_STATUS_NOT_SUPPORTED
					   : vendor->cudnnBackendSetAttribute(descriptor, name, type, n, values);
}

static cudnnStatus_t get_or_fail(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
								 cudnnBackendAttributeType_t type, int64_t wanted, int64_t *n, void *values) {
	return fails_now() ? CUDNN_STATUS_INTERNAL_ERROR
					   : vendor->cudnnBackendGetAttribute(descriptor, name, type, wanted, n, values);
}

static cudnnStatus_t finalize_or_fail(cudnnBackendDescriptor_t descriptor) {
	return fails_now() ? CUDNN_STATUS_NOT_SUPPORTED : vendor->cudnnBackendFinalize(descriptor);
}

/* Where one engine is refused another one may serve; without any the error names the layer. */
START_TEST(no_failure_leaves_a_descriptor_behind) {
	qmdi_vendor counting = *vendor;
	counting.cudnnBackendCreateDescriptor = create_and_count;
	counting.cudnnBackendDestroyDescriptor = destroy_and_count;
	counting.cudnnBackendSetAttribute = set_or_fail;
	counting.cudnnBackendGetAttribute = get_or_fail;
	counting.cudnnBackendFinalize = finalize_or_fail;
	const qmdi_cudnn cudnn = absent_device(&counting, 0);
	const qmdi_linear_shape shape = convolution_shape(0, 2);
	const qmdi_cudnn_convolution fused = {&shape, QMDI_CUDNN_FORWARD, CUDNN_DATA_HALF, 1, 1};
	long n_failed = 0;
	for (failing_call = 1;; failing_call++) {
		qmdi_cudnn_plan *plan = NULL;
		n_calls = 0;
		if (qmdi_cudnn_plan_create(&cudnn, &fused, &plan) != QMD_OK) {
			n_failed++;
			ck_assert_msg(strstr(qmd_last_error(), "layer 'conv'") != NULL, "%s", qmd_last_error());
		}
		qmdi_cudnn_plan_free(plan);
		ck_assert_int_eq(n_alive, 0);
		if (n_calls < failing_call)
			break;
	}
	ck_assert_int_gt(n_failed, 10);
	ck_assert_int_gt(failing_call, n_failed);
	(void)vendor->cudnnBackendDestroyDescriptor(cudnn.properties);
}
END_TEST

int main(int argc, char **argv) {
	if (argc == 2 && strcmp(argv[1], "--open") == 0)
		return open_and_tell();
	if (qmdi_vendor_open(&vendor) != QMD_OK) {
		fprintf(stderr, "SKIPPED: the vendor's libraries: %s\n", qmd_last_error());
		return EXIT_SUCCESS;
	}
	Suite *suite = suite_create("vendor_libraries");
	TCase *libraries = tcase_create("libraries"), *plans = tcase_create("plans");
	tcase_set_timeout(libraries, 0);
	tcase_set_timeout(plans, 0);
	tcase_add_test(libraries, every_function_is_found);
	tcase_add_test(libraries, versions_are_those_of_the_headers);
	tcase_add_test(libraries, there_is_one_table);
	tcase_add_test(libraries, a_library_that_does_not_serve_is_named);
	tcase_add_test(libraries, a_cudnn_without_its_parts_is_refused);
	tcase_add_test(libraries, the_column_without_a_device_says_what_is_missing);
	tcase_add_test(libraries, cudnn_pools_to_the_models_shapes);
	if (vendor->cudnnGetVersion() >= 90800) {
		tcase_add_loop_test(plans, convolutions_of_the_models_shapes_have_plans, 0, (int)LENGTH(devices));
		tcase_add_loop_test(plans, convolutions_of_the_columns_tests_have_plans, 0, (int)LENGTH(devices));
		tcase_add_loop_test(plans, half_precision_has_fused_plans, 0, (int)LENGTH(devices));
		tcase_add_loop_test(plans, int8_has_plans_for_sums, 0, (int)LENGTH(devices));
		tcase_add_test(plans, a_wrong_output_is_refused_with_the_layers_name);
		tcase_add_test(plans, no_failure_leaves_a_descriptor_behind);
	} else {
		fprintf(stderr, "SKIPPED: plans for devices that are not there take cuDNN 9.8\n");
	}
	suite_add_tcase(suite, libraries);
	suite_add_tcase(suite, plans);
	return qmdt_run(suite);
}
