#include "kernel_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

static uint64_t random_state = 1;

void qmdt_random_seed(uint64_t seed) {
	random_state = seed;
}

/* A 64-bit linear congruential generator (Knuth's MMIX constants), high half. */
uint32_t qmdt_random(void) {
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 32);
}

uint32_t qmdt_random_below(uint32_t n) {
	return (uint32_t)(((uint64_t)qmdt_random() * n) >> 32);
}

static uint32_t between(uint32_t low, uint32_t high) {
	return low + qmdt_random_below(high - low + 1);
}

/* Mostly small, now and then as large as `high`. */
static uint32_t skewed(uint32_t high) {
	return between(1, qmdt_random_below(3) == 0 ? high : (high + 5) / 6);
}

static void set_windows(qmdi_kernel_shape *shape) {
	shape->kernel_h = between(1, 5);
	shape->kernel_w = between(1, 5);
	shape->stride_h = qmdt_random_below(4) == 0 ? between(2, 3) : 1;
	shape->stride_w = qmdt_random_below(4) == 0 ? between(2, 3) : 1;
	if (shape->op == QMDI_OP_CONV2D) {
		shape->pad_top = qmdt_random_below(3);
		shape->pad_left = qmdt_random_below(3);
		shape->pad_bottom = qmdt_random_below(3);
		shape->pad_right = qmdt_random_below(3);
		shape->pool = between(1, 2);
		shape->float_output = shape->pool == 1 && qmdt_random_below(4) == 0;
	}
	const uint32_t rows = between(1, 6) * shape->pool, columns = between(1, 20) * shape->pool;
	shape->in_h = (rows - 1) * shape->stride_h + shape->kernel_h + qmdt_random_below(shape->stride_h);
	shape->in_w = (columns - 1) * shape->stride_w + shape->kernel_w + qmdt_random_below(shape->stride_w);
	shape->out_h = (shape->in_h + shape->pad_top + shape->pad_bottom - shape->kernel_h) / shape->stride_h + 1;
	shape->out_w = (shape->in_w + shape->pad_left + shape->pad_right - shape->kernel_w) / shape->stride_w + 1;
	shape->out_h /= shape->pool;
	shape->out_w /= shape->pool;
}

qmdi_kernel_shape qmdt_random_shape(qmdi_op op) {
	qmdi_kernel_shape shape = {.op = op, .operand = (qmdi_operand)(1 << qmdt_random_below(3))};
	shape.in_h = shape.in_w = shape.out_h = shape.out_w = 1;
	shape.kernel_h = shape.kernel_w = shape.stride_h = shape.stride_w = shape.pool = 1;
	shape.low = qmdt_random_below(2) == 0 ? 0 : -128;
	shape.in_c = op == QMDI_OP_DENSE ? skewed(2000) : skewed(70);
	shape.out_c = op == QMDI_OP_DENSE ? skewed(300) : op == QMDI_OP_CONV2D ? skewed(100) : shape.in_c;
	if (op == QMDI_OP_DENSE) {
		shape.float_output = qmdt_random_below(4) == 0;
	} else if (op == QMDI_OP_ADD) {
		shape.in_h = shape.out_h = between(1, 12);
		shape.in_w = shape.out_w = between(1, 40);
		shape.float_output = qmdt_random_below(4) == 0;
	} else {
		set_windows(&shape);
		shape.float_output = op == QMDI_OP_AVGPOOL ? qmdt_random_below(4) == 0 : shape.float_output;
	}
	shape.scale_a = 0.01f * (float)between(1, 300);
	shape.scale_b = 0.01f * (float)between(1, 300);
	shape.scale_out = 0.02f * (float)between(1, 300);
	return shape;
}

static void *must(void *memory) {
	ck_assert_ptr_nonnull(memory);
	return memory;
}

/* The end of 16 MiB before a page that cannot be touched, one such place for each tensor of a case. */
#define PLACE_SIZE ((size_t)16 << 20)

static uint8_t *end_of_place(size_t number) {
	static uint8_t *ends[3];
	if (ends[number] == NULL) {
		const size_t page = (size_t)sysconf(_SC_PAGESIZE);
		void *place = mmap(NULL, PLACE_SIZE + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ck_assert_ptr_ne(place, MAP_FAILED);
		ends[number] = (uint8_t *)place + PLACE_SIZE;
		ck_assert_int_eq(mprotect(ends[number], page, PROT_NONE), 0);
	}
	return ends[number];
}

/* A tensor with `halo` pixels above, left, below and right of each image, and gaps between rows and between images. */
static void make_tensor(qmdt_tensor *tensor, size_t place, const size_t extents[3], size_t n_images,
						const uint32_t halo[4], size_t alignment) {
	const size_t pixel = extents[2], gap = alignment > 4 ? alignment : 4;
	const size_t row = (extents[1] + halo[1] + halo[3]) * pixel + gap * qmdt_random_below(4);
	const size_t image = (extents[0] + halo[0] + halo[2]) * row + gap * qmdt_random_below(4);
	tensor->size = n_images * image;
	ck_assert_uint_eq(tensor->size % alignment, 0);
	ck_assert_uint_le(tensor->size + QMDI_SLACK, PLACE_SIZE);
	tensor->bytes = end_of_place(place) - QMDI_SLACK - tensor->size;
	tensor->view = (qmdi_view){tensor->bytes + halo[0] * row + halo[1] * pixel, row, image};
}

static uint8_t draw_number(qmdi_operand operand, qmdt_fill fill) {
	const uint8_t ends[][2] = {{0, 255}, {(uint8_t)-128, 127}, {0, 127}};
	const uint32_t kind = operand == QMDI_U8 ? 0 : operand == QMDI_S8 ? 1 : 2;
	if (fill == QMDT_FILL_EXTREME) {
		return ends[kind][qmdt_random_below(16) != 0];
	}
	if (fill == QMDT_FILL_TIES) {
		return (uint8_t)(operand == QMDI_S8 ? between(0, 4) - 2 : between(0, 2));
	}
	return (uint8_t)(qmdt_random() >> (operand == QMDI_S7 ? 25 : 24));
}

/* Numbers inside, 0 in the halo, anything in the gaps and behind the end. */
static void fill_input(const qmdt_kernel_case *test, qmdt_tensor *tensor, const uint32_t halo[4]) {
	const qmdi_kernel_shape *shape = &test->shape;
	for (size_t i = 0; i < tensor->size + QMDI_SLACK; ++i) {
		tensor->bytes[i] = (uint8_t)qmdt_random();
	}
	const size_t before = halo[1] * shape->in_c, inside = shape->in_w * shape->in_c, after = halo[3] * shape->in_c;
	const int flip = qmdt_random_below(2) == 0 && test->fill == QMDT_FILL_EXTREME && shape->operand == QMDI_S8;
	for (size_t image = 0; image < test->n_images; ++image) {
		uint8_t *row = tensor->bytes + image * tensor->view.image_stride;
		for (size_t y = 0; y < halo[0] + shape->in_h + halo[2]; ++y, row += tensor->view.row_stride) {
			memset(row, 0, before + inside + after);
			for (size_t i = 0; y >= halo[0] && y < halo[0] + shape->in_h && i < inside; ++i) {
				const uint8_t number = draw_number(shape->operand, test->fill);
				row[before + i] = flip ? (uint8_t)~number : number;
			}
		}
	}
}

static int8_t draw_weight(qmdt_fill fill) {
	if (fill == QMDT_FILL_EXTREME) {
		return qmdt_random_below(16) == 0 ? -127 : 127;
	}
	return (int8_t)(fill == QMDT_FILL_TIES ? (int32_t)between(0, 2) - 1 : (int32_t)between(0, 254) - 127);
}

static void fill_weights(qmdt_kernel_case *test) {
	const qmdi_kernel_shape *shape = &test->shape;
	const size_t k = (size_t)shape->kernel_h * shape->kernel_w * shape->in_c;
	test->weights = must(malloc(k * shape->out_c));
	test->bias = must(malloc(shape->out_c * sizeof *test->bias));
	test->multipliers = must(malloc(shape->out_c * sizeof *test->multipliers));
	for (size_t c = 0; c < shape->out_c; ++c) {
		const int8_t sign = qmdt_random_below(2) == 0 ? 1 : -1;
		for (size_t i = 0; i < k; ++i) {
			test->weights[c * k + i] = (int8_t)(sign * draw_weight(test->fill));
		}
		const int32_t range = test->fill == QMDT_FILL_TIES ? 8 : 20000;
		test->bias[c] = (int32_t)between(0, 2 * (uint32_t)range) - range;
		/* Sums of k products spread over a few times the range of int8. */
		const float spread = 0.0001f * (float)between(1, 1000) / (float)(k < 64 ? 8 : k / 8);
		test->multipliers[c] = test->fill == QMDT_FILL_TIES ? 0.5f : spread;
	}
}

void qmdt_case_make(qmdt_kernel_case *test, const qmdi_kernel_shape *shape, qmdt_fill fill, size_t n_images) {
	qmdt_case_make_aligned(test, shape, fill, n_images, 1);
}

void qmdt_case_make_aligned(qmdt_kernel_case *test, const qmdi_kernel_shape *shape, qmdt_fill fill, size_t n_images,
							size_t alignment) {
	memset(test, 0, sizeof *test);
	test->shape = *shape;
	test->fill = fill;
	test->n_images = n_images;
	const uint32_t wider = qmdt_random_below(2);
	const uint32_t halo[4] = {shape->pad_top + wider, shape->pad_left + wider, shape->pad_bottom + wider,
							  shape->pad_right + wider};
	for (size_t i = 0; i < (shape->op == QMDI_OP_ADD ? 2u : 1u); ++i) {
		make_tensor(&test->inputs[i], i, (const size_t[]){shape->in_h, shape->in_w, shape->in_c}, n_images, halo,
					alignment);
		fill_input(test, &test->inputs[i], halo);
	}
	const uint32_t output_halo[4] = {between(0, 2), between(0, 2), between(0, 2), between(0, 2)};
	const size_t pixel = shape->out_c * (shape->float_output ? sizeof(float) : 1);
	make_tensor(&test->output, 2, (const size_t[]){shape->out_h, shape->out_w, pixel}, n_images, output_halo,
				pixel % alignment == 0 ? alignment : 1);
	if (shape->op == QMDI_OP_CONV2D || shape->op == QMDI_OP_DENSE) {
		fill_weights(test);
	}
}

void qmdt_case_free(qmdt_kernel_case *test) {
	free(test->weights);
	free(test->bias);
	free(test->multipliers);
}

/* Halves of the range in random order, down to pieces of at most four tasks. */
static void run_tasks(const qmdi_kernel *kernel, const qmdi_kernel_call *call, size_t first, size_t n) {
	if (n <= 1 + qmdt_random_below(4)) {
		kernel->run(call, first, n);
		return;
	}
	const size_t left = 1 + qmdt_random_below((uint32_t)n - 1), is_left_first = qmdt_random_below(2);
	run_tasks(kernel, call, is_left_first ? first : first + left, is_left_first ? left : n - left);
	run_tasks(kernel, call, is_left_first ? first + left : first, is_left_first ? n - left : left);
}

void qmdt_case_run(qmdt_kernel_case *test, const qmdi_kernel *kernel) {
	const qmdi_kernel_weights weights = {test->weights, test->bias, test->multipliers};
	const size_t size = kernel->packed_size(&test->shape);
	void *packed = must(aligned_alloc(64, (size + 64) / 64 * 64));
	kernel->pack(&test->shape, &weights, packed);
	memset(test->output.bytes, QMDT_GUARD, test->output.size + QMDI_SLACK);
	qmdi_kernel_call call = {.shape = &test->shape, .packed = size > 0 ? packed : NULL, .n_images = test->n_images};
	call.inputs[0] = test->inputs[0].view;
	call.inputs[1] = test->inputs[1].view;
	call.output = test->output.view;
	run_tasks(kernel, &call, 0, kernel->n_tasks(&test->shape, test->n_images));
	free(packed);
}

size_t qmdt_case_n_outputs(const qmdt_kernel_case *test) {
	return test->n_images * test->shape.out_h * test->shape.out_w * test->shape.out_c;
}

int qmdt_case_is_inside(const qmdt_kernel_case *test, size_t byte) {
	const qmdi_view *view = &test->output.view;
	const size_t start = (size_t)((uint8_t *)view->data - test->output.bytes);
	if (byte < start) {
		return 0;
	}
	const size_t row = (byte - start) % view->image_stride / view->row_stride;
	const size_t in_row = (byte - start) % view->image_stride % view->row_stride;
	const size_t element = test->shape.float_output ? sizeof(float) : 1;
	return (byte - start) / view->image_stride < test->n_images && row < test->shape.out_h &&
		   in_row < test->shape.out_w * test->shape.out_c * element;
}
