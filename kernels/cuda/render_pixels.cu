/*
 * render_pixels: frames to images, from a host's coordinates to the bytes that the network reads, the same as
 * lib/pixels gives (docs/numerics.md, section 4; the arithmetic itself is pixels_math.h, which both include).
 *
 * One launch, no block waits for another. A frame is shared by n_shares blocks of 512 threads. Each of them does all of
 * the frame's sums, in shared memory, and draws its share of the pixels:
 *
 *     gather    xyz[indices[i]] * unit, FP64
 *     whole     with a box: images between neighbours in the chain, and their running sums (uint32, a scan)
 *     grid      integers of 2^-13 angstrom relative to the first superposed atom         planes of int32
 *     sums      of p, and of p[a] * r[b] over the superposed atoms                       12 int64 a block
 *     rotation  Horn's quaternion by Jacobi, one thread
 *     range     icnnmd: least and largest value of each channel                          6 doubles a block
 *     draw      a pixel a thread, 3 bytes each
 *
 * What is repeated costs less than a second launch, or a wait of all blocks: of the 2,400 atoms of a receptor a thread
 * has five, and its FP64 divisions and its drawing, which are most of the work, are shared. Many frames are not cut.
 *
 * Exact: sums of integers do not depend on their order, minima neither; all else is per atom, or done by one thread.
 * Sums stay below 2^63 (superpose.h). -fmad=false.
 *
 * Edges: pixels after the last atom are 0. If an atom is not finite or too far, all pixels are, and failures[frame]
 * keeps the first such atom of the first frame that failed in this place.
 *
 *   Budget: qmdi_render_pixels_* registers<=128 shared<=0 spills=0 calls=4 needs=DADD,DMUL
 *   calls         FP64 divisions and square roots have their rare cases in subroutines
 *   shared        dynamic, 2 KiB and 12 bytes an atom where that is at most 48 KiB (3,900 atoms)
 */
#include "device.h"
#include "join_block.h"
#include "render_pixels.h"

namespace {

using namespace qmdi;

constexpr uint32_t n_threads = 512, n_warps = n_threads / 32;
constexpr uint32_t most_shares = 16, pixels_per_share = 128;
constexpr uint32_t none = UINT32_MAX;
constexpr int displacement = 1; /* QMD_PIXELS_DISPLACEMENT */

/* What the threads of a block tell each other, before the planes. */
struct blackboard {
	uint64_t of_warps[12][n_warps];
	qmdi_placement placement;
	double mix[3][3];
	uint32_t failed;
};

constexpr uint32_t blackboard_bytes = (sizeof(blackboard) + 15) / 16 * 16;

/* The planes of a block, in shared or in global memory. */
template <bool in_shared> struct planes {
	int32_t *first;
	uint32_t n;

	QMDI_DEVICE int32_t get(uint32_t k, uint32_t i) const {
		return in_shared ? load_shared(first + k * n + i) : load(first + static_cast<uint64_t>(k) * n + i);
	}

	QMDI_DEVICE void set(uint32_t k, uint32_t i, int32_t value) const {
		if (in_shared) {
			store_shared(first + k * n + i, value);
		} else {
			store(first + static_cast<uint64_t>(k) * n + i, value);
		}
	}
};

QMDI_DEVICE blackboard *board() {
	return reinterpret_cast<blackboard *>(shared_memory());
}

/* A struct of whole words from memory of any kind that `load` reads. */
template <class T> QMDI_DEVICE T load_words(const T *pointer) {
	static_assert(sizeof(T) % 8 == 0, "whole words");
	uint64_t words[sizeof(T) / 8];
	QMDI_UNROLLED
	for (uint32_t i = 0; i < sizeof(T) / 8; ++i) {
		words[i] = load(reinterpret_cast<const uint64_t *>(pointer) + i);
	}
	T value;
	memcpy(&value, words, sizeof value);
	return value;
}

/* ---- Of all threads of a block ---- */

/* Three running sums over the block's threads, on top of `carry`, which moves to the sum of all. Wraps. */
QMDI_DEVICE void scan_block(uint32_t (&values)[3], uint32_t (&carry)[3]) {
	const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	QMDI_UNROLLED
	for (uint32_t k = 0; k < 3; ++k) {
		QMDI_UNROLLED
		for (uint32_t step = 1; step < 32; step *= 2) {
			const uint32_t before = shuffle(values[k], lane >= step ? lane - step : lane);
			values[k] += lane >= step ? before : 0;
		}
		if (lane == 31) {
			store_shared(reinterpret_cast<uint32_t *>(&board()->of_warps[k][warp]), values[k]);
		}
	}
	sync_block();
	QMDI_UNROLLED
	for (uint32_t k = 0; k < 3; ++k) {
		values[k] += carry[k];
		for (uint32_t i = 0; i < n_warps; ++i) {
			const uint32_t sum = load_shared(reinterpret_cast<uint32_t *>(&board()->of_warps[k][i]));
			values[k] += i < warp ? sum : 0;
			carry[k] += sum;
		}
	}
	sync_block();
}

/* ---- Where the atoms are ---- */

/* In angstrom. */
QMDI_DEVICE void gather(const qmdi_cuda_frame &frame, uint32_t i, double (&x)[3]) {
	const uint64_t atom = (frame.indices ? load(frame.indices + i) : i) * frame.stride;
	QMDI_UNROLLED
	for (uint32_t k = 0; k < 3; ++k) {
		x[k] = frame.is_double ? load(static_cast<const double *>(frame.xyz) + atom + k)
							   : static_cast<double>(load(static_cast<const float *>(frame.xyz) + atom + k));
		x[k] = x[k] * frame.unit;
	}
}

/* The planes become the images that each atom is to be moved by. */
template <class Planes> QMDI_DEVICE void count_images(const qmdi_cuda_frame &frame, const Planes &images) {
	uint32_t carry[3] = {0, 0, 0};
	for (uint32_t first = 0; first < images.n; first += n_threads) {
		const uint32_t i = first + threadIdx.x;
		uint32_t counts[3] = {0, 0, 0};
		if (i > 0 && i < images.n) {
			double before[3], x[3];
			gather(frame, i - 1, before);
			gather(frame, i, x);
			qmdi_count_images(frame.box, before[0] - x[0], before[1] - x[1], before[2] - x[2], &counts[0], &counts[1],
							  &counts[2]);
		}
		scan_block(counts, carry);
		for (uint32_t k = 0; k < 3 && i < images.n; ++k) {
			images.set(k, i, static_cast<int32_t>(counts[k]));
		}
	}
}

template <class Planes>
QMDI_DEVICE void find_atom(const qmdi_cuda_frame &frame, const Planes &images, uint32_t i, double (&x)[3]) {
	gather(frame, i, x);
	if (frame.has_box) {
		qmdi_move_by_images(frame.box, images.get(0, i), images.get(1, i), images.get(2, i), &x[0], &x[1], &x[2]);
	}
}

/* Fills the planes. The first atom that is not finite or too far, or `none`. */
template <class Planes>
QMDI_DEVICE uint32_t put_on_grid(const qmdi_cuda_frame &frame, uint32_t first_superposed, const Planes &grid) {
	double origin[3];
	if (frame.has_box) {
		count_images(frame, grid);
		sync_block();
	}
	find_atom(frame, grid, first_superposed, origin);
	sync_block();
	uint32_t failed[1] = {none};
	for (uint32_t i = threadIdx.x; i < grid.n; i += n_threads) {
		double x[3];
		int64_t off = 0;
		find_atom(frame, grid, i, x);
		QMDI_UNROLLED
		for (uint32_t k = 0; k < 3; ++k) {
			const int64_t point = qmdi_to_grid(x[k] - origin[k]);
			off |= qmdi_off_grid(point);
			grid.set(k, i, static_cast<int32_t>(point));
		}
		failed[0] = off < 0 && i < failed[0] ? i : failed[0];
	}
	join_block(board()->of_warps, failed, [](uint32_t a, uint32_t b) { return a < b ? a : b; });
	return failed[0];
}

/* ---- Superposition ---- */

template <class Planes>
QMDI_DEVICE void sum_anchors(const qmdi_cuda_pixels &pixels, const Planes &grid, int64_t (&sums)[12]) {
	const uint32_t n = pixels.n_superposed;
	QMDI_UNROLLED
	for (uint32_t k = 0; k < 12; ++k) {
		sums[k] = 0;
	}
	for (uint32_t i = threadIdx.x; i < n; i += n_threads) {
		const uint32_t atom = load_constant(pixels.superposed + i);
		QMDI_UNROLLED
		for (uint32_t a = 0; a < 3; ++a) {
			const int64_t p = grid.get(a, atom);
			sums[a] += p;
			QMDI_UNROLLED
			for (uint32_t b = 0; b < 3; ++b) {
				sums[3 + 3 * a + b] += p * load_constant(pixels.anchors + b * n + i);
			}
		}
	}
	join_block(board()->of_warps, sums, [](int64_t a, int64_t b) { return a + b; });
}

template <class Planes> QMDI_DEVICE void superpose(const qmdi_cuda_pixels &pixels, const Planes &grid) {
	int64_t sums[12];
	sum_anchors(pixels, grid, sums);
	if (threadIdx.x == 0) {
		qmdi_anchor_sums named;
		qmdi_superposition superposition;
		for (uint32_t a = 0; a < 3; ++a) {
			named.p[a] = sums[a];
			for (uint32_t b = 0; b < 3; ++b) {
				named.products[a][b] = sums[3 + 3 * a + b];
			}
		}
		qmdi_superpose_sums(&named, pixels.anchor_sums, pixels.n_superposed, &superposition);
		qmdi_place(&superposition, pixels.centre, &board()->placement);
		qmdi_icnnmd_mix(&board()->placement, board()->mix);
	}
	sync_block();
}

/* ---- Drawing ---- */

/* The pixels of a block. */
struct share {
	uint32_t first, end;
	unsigned char *image;
	uint64_t row_stride;
	uint32_t side;

	QMDI_DEVICE void set(uint32_t pixel, const int32_t (&values)[3]) const {
		unsigned char *out = image + pixel / side * row_stride + pixel % side * 3;
		QMDI_UNROLLED
		for (uint32_t k = 0; k < 3; ++k) {
			store(out + k, static_cast<unsigned char>(values[k]));
		}
	}
};

template <class Planes> QMDI_DEVICE double turned(const double (&turn)[3], const Planes &grid, uint32_t i) {
	return qmdi_turned(turn[0], turn[1], turn[2], grid.get(0, i), grid.get(1, i), grid.get(2, i));
}

template <class Planes>
QMDI_DEVICE void draw_displacement(const qmdi_cuda_pixels &pixels, const Planes &grid, const share &own) {
	const qmdi_placement &placement = board()->placement;
	for (uint32_t i = own.first + threadIdx.x; i < own.end; i += n_threads) {
		int32_t values[3] = {0, 0, 0};
		for (uint32_t k = 0; k < 3 && i < grid.n; ++k) {
			const float reference = load_constant(pixels.reference + static_cast<uint64_t>(k) * grid.n + i);
			values[k] = qmdi_displacement(turned(placement.turn[k], grid, i) + placement.shift[k], reference,
										  load_constant(pixels.steps + i));
		}
		own.set(i, values);
	}
}

template <class Planes> QMDI_DEVICE void draw_icnnmd(const Planes &grid, const share &own) {
	double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
	for (uint32_t i = threadIdx.x; i < grid.n; i += n_threads) {
		QMDI_UNROLLED
		for (uint32_t k = 0; k < 3; ++k) {
			const double value = turned(board()->mix[k], grid, i);
			low[k] = value < low[k] ? value : low[k];
			high[k] = value > high[k] ? value : high[k];
		}
	}
	join_block(board()->of_warps, low, [](double a, double b) { return b < a ? b : a; });
	join_block(board()->of_warps, high, [](double a, double b) { return b > a ? b : a; });
	for (uint32_t i = own.first + threadIdx.x; i < own.end; i += n_threads) {
		int32_t values[3] = {0, 0, 0};
		QMDI_UNROLLED
		for (uint32_t k = 0; k < 3; ++k) {
			if (i < grid.n) {
				values[k] =
					qmdi_icnnmd_colour(turned(board()->mix[k], grid, i), low[k], qmdi_icnnmd_width(low[k], high[k]));
			}
		}
		own.set(i, values);
	}
}

QMDI_DEVICE void draw_nothing(const share &own) {
	const int32_t zeros[3] = {0, 0, 0};
	for (uint32_t i = own.first + threadIdx.x; i < own.end; i += n_threads) {
		own.set(i, zeros);
	}
}

/* ---- The kernel ---- */

template <bool in_shared> QMDI_DEVICE void render(const qmdi_cuda_render &params) {
	wait_for_earlier_launches();
	let_later_launches_start();
	const uint32_t number = blockIdx.x / params.n_shares, part = blockIdx.x % params.n_shares;
	const qmdi_cuda_pixels &pixels = params.pixels;
	const uint32_t n_pixels = pixels.side * pixels.side; /* at most 2^24 */
	const qmdi_cuda_frame frame = load_words(params.frames + number);
	const planes<in_shared> grid = {in_shared ? reinterpret_cast<int32_t *>(shared_memory() + blackboard_bytes)
											  : params.scratch + static_cast<uint64_t>(blockIdx.x) * 3 * pixels.n_atoms,
									pixels.n_atoms};
	const share own = {part * n_pixels / params.n_shares, (part + 1) * n_pixels / params.n_shares,
					   params.image + number * params.image_stride, params.row_stride, pixels.side};
	const uint32_t failed = put_on_grid(frame, pixels.first, grid);
	if (failed != none) {
		if (part == 0 && threadIdx.x == 0 && load(params.failures + number) == QMDI_CUDA_NO_FAILURE) {
			store(params.failures + number, static_cast<uint64_t>(frame.number) << 32 | failed);
		}
		draw_nothing(own);
		return;
	}
	superpose(pixels, grid);
	if (pixels.kind == displacement) {
		draw_displacement(pixels, grid, own);
	} else {
		draw_icnnmd(grid, own);
	}
}

uint32_t shared_bytes(const qmdi_cuda_pixels *pixels) {
	const uint64_t bytes = blackboard_bytes + 12 * static_cast<uint64_t>(pixels->n_atoms);
	return bytes <= QMDI_CUDA_PLAIN_SHARED_BYTES ? static_cast<uint32_t>(bytes) : blackboard_bytes;
}

} // namespace

QMDI_CUDA_KERNEL(qmdi_render_pixels_shared, n_threads, 1, qmdi_cuda_render, render<true>);
QMDI_CUDA_KERNEL(qmdi_render_pixels_global, n_threads, 1, qmdi_cuda_render, render<false>);

/* ---- On the host ---- */

uint32_t qmdi_cuda_render_shares(const qmdi_cuda_pixels *pixels, uint32_t n_frames, uint32_t n_multiprocessors) {
	const uint32_t wanted = n_multiprocessors / n_frames;
	const uint64_t useful =
		(static_cast<uint64_t>(pixels->side) * pixels->side + pixels_per_share - 1) / pixels_per_share;
	const uint32_t most = useful < most_shares ? static_cast<uint32_t>(useful) : most_shares;
	return wanted < 1 ? 1 : wanted < most ? wanted : most;
}

/* n frames and their shares are at most as many blocks as there are frames or multiprocessors. */
uint64_t qmdi_cuda_render_scratch(const qmdi_cuda_pixels *pixels, uint32_t n_frames, uint32_t n_multiprocessors) {
	const uint64_t n_blocks = n_frames > n_multiprocessors ? n_frames : n_multiprocessors;
	return shared_bytes(pixels) > blackboard_bytes ? 0 : n_blocks * 3 * pixels->n_atoms * sizeof(int32_t);
}

/* A context has at most 65536 frames at a time, which fit into a grid. */
void qmdi_cuda_render_launch(const qmdi_cuda_render *render, qmdi_cuda_launch *launch) {
	const uint32_t bytes = shared_bytes(&render->pixels);
	(void)qmdi::set_launch(
		launch, bytes > blackboard_bytes ? &qmdi_render_pixels_shared_entry : &qmdi_render_pixels_global_entry,
		{render->n_frames * render->n_shares, 1}, n_threads, bytes, *render);
}
