/* The host back end of the CUDA kernels: its words against what the instructions are documented to do, and what it
 * finds in kernels that are wrong. */
#include <check.h>

#include <cstdio>
#include <vector>

#include "cuda/device.h"

using namespace qmdi;

extern "C" int qmdt_run(Suite *suite);

namespace {

#define N_SEEDS 8

template <class Params>
qmdi_cuda_launch launch_of(const qmdi_cuda_entry &entry, dim3 grid, unsigned n_threads, unsigned shared,
						   const Params &params) {
	qmdi_cuda_launch launch = {&entry, {grid.x, grid.y, grid.z}, {n_threads, 1, 1}, shared, sizeof params, {}};
	memcpy(launch.params.bytes, &params, sizeof params);
	return launch;
}

/* ---- Threads, barriers, shared memory ---- */

struct reverse_params {
	const int *input;
	int *output;
	int n, has_barrier;
};

/* Each block turns its part of the input around, through shared memory. */
QMDI_DEVICE void reverse(const reverse_params &p) {
	wait_for_earlier_launches();
	int *const staged = reinterpret_cast<int *>(shared_memory());
	const int i = static_cast<int>(threadIdx.x), first = static_cast<int>(blockIdx.x) * p.n;
	store_shared(&staged[i], load(&p.input[first + i]));
	if (p.has_barrier) {
		sync_block();
	}
	store(&p.output[first + i], load_shared(&staged[p.n - 1 - i]));
}
QMDI_CUDA_KERNEL(reverse_blocks, 1024, 1, reverse_params, reverse);

/* Number of wrong elements. */
int count_reverse_errors(uint64_t seed, int has_barrier) {
	const int n = 96, n_blocks = 5;
	std::vector<int> input(n * n_blocks), output(n * n_blocks, -1);
	for (int i = 0; i < n * n_blocks; ++i) {
		input[i] = i;
	}
	const reverse_params params = {input.data(), output.data(), n, has_barrier};
	const qmdi_cuda_launch launch = launch_of(reverse_blocks_entry, {n_blocks, 1, 1}, n, n * sizeof(int), params);
	ck_assert_msg(qmdi_host_launch(&launch, seed, 80, nullptr) == 0, "%s", qmdi_host_error());
	int n_wrong = 0;
	for (int i = 0; i < n * n_blocks; ++i) {
		n_wrong += output[i] != i / n * n + n - 1 - i % n;
	}
	return n_wrong;
}

START_TEST(barriers_hold_back_the_block) {
	for (uint64_t seed = 0; seed < N_SEEDS; ++seed) {
		ck_assert_int_eq(count_reverse_errors(seed, 1), 0);
		ck_assert_int_gt(count_reverse_errors(seed, 0), 0);
	}
}
END_TEST

} // namespace

int main() {
	Suite *suite = suite_create("cuda_host");
	TCase *words = tcase_create("words");
	tcase_add_test(words, barriers_hold_back_the_block);
	suite_add_tcase(suite, words);
	return qmdt_run(suite);
}
