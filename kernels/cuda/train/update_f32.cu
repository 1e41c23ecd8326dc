/*
 * update_f32: a step of Adam or RMSprop on one array, in place; the formulas stand at qmdi_update (tensor.h), the
 * arithmetic in tensor_math.h.
 *
 * A thread does four values (fours.h). Divisions and square roots are IEEE's; moments below FLT_MIN become 0.
 *
 *   Budget: qmdi_*_f32 registers<=64 shared<=0 spills=0 calls=2 needs=FCHK,LDG.E.128,STG.E.128
 *   calls         float32 divisions and square roots have their rare cases in subroutines
 */
#include "fours.h"
#include "train_kernels.h"

#include "tensor/tensor_math.h"

namespace qmdi {
namespace {

template <bool is_adam> QMDI_DEVICE void update(const qmdi_update &u) {
	const uint32_t first = first_of_four(), n = static_cast<uint32_t>(u.n);
	float gradient[4], m[4], v[4], w[4];
	wait_for_earlier_launches();
	let_later_launches_start();
	load_four(u.gradient, first, n, gradient);
	load_four(u.moment2, first, n, v);
	load_four(u.values, first, n, w);
	if (is_adam) {
		load_four(u.moment1, first, n, m);
	}
	QMDI_UNROLLED
	for (uint32_t i = 0; i < 4; ++i) {
		if (is_adam) {
			qmdi_adam(&u, gradient[i], &m[i], &v[i], &w[i]);
		} else {
			qmdi_rmsprop(&u, gradient[i], &v[i], &w[i]);
		}
	}
	if (is_adam) {
		store_four(u.moment1, first, n, m);
	}
	store_four(u.moment2, first, n, v);
	store_four(u.values, first, n, w);
}

QMDI_CUDA_KERNEL(qmdi_adam_f32, fours_threads, 1, qmdi_update, update<true>);
QMDI_CUDA_KERNEL(qmdi_rmsprop_f32, fours_threads, 1, qmdi_update, update<false>);

} // namespace
} // namespace qmdi

int qmdi_cuda_update_launch(const qmdi_update *update, qmdi_cuda_launch *launch) {
	const qmdi_cuda_entry *entry = update->moment1 ? &qmdi::qmdi_adam_f32_entry : &qmdi::qmdi_rmsprop_f32_entry;
	return qmdi::launch_fours(launch, entry, update->n, *update);
}
