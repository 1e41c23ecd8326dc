/* What runs the graphs of the emulated cuDNN: operation after operation, in FP64. */
#include "cudnn_graph_host.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "host_launch.h"

namespace qmdi::host {

/* ---- Checks ---- */

std::vector<const tensor *> operation::inputs() const {
	std::vector<const tensor *> all = {&x, &w, &y};
	if (!has_w()) {
		all.erase(all.begin() + 1);
	}
	all.erase(std::find(all.begin(), all.end(), &output()));
	return all;
}

namespace {

cudnnStatus_t check_convolution(const operation &o) {
	const int64_t *x = o.x.place.dims, *w = o.w.place.dims, *y = o.y.place.dims;
	QMDI_CUDNN_CHECK(x[0] == y[0] && w[0] == y[1] && w[1] == x[1]);
	for (int i = 0; i < 2; ++i) {
		const int64_t reach = (w[2 + i] - 1) * o.shape.dilation[i] + 1;
		const int64_t room = x[2 + i] + o.shape.before[i] + o.shape.after[i] - reach;
		QMDI_CUDNN_CHECK(room >= 0 && y[2 + i] == room / o.shape.stride[i] + 1);
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_pointwise(const operation &o) {
	for (int i = 0; i < 4; ++i) {
		const int64_t n = o.y.place.dims[i];
		QMDI_CUDNN_CHECK(o.x.place.dims[i] == n);
		QMDI_CUDNN_CHECK(!o.has_w() || o.w.place.dims[i] == n || o.w.place.dims[i] == 1);
	}
	return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t check_operation(const operation &o) {
	return o.kind == operation_kind::pointwise ? check_pointwise(o) : check_convolution(o);
}

/* An id is one tensor's, and what is virtual was made before it is used and is used after it was made. */
cudnnStatus_t check_graph(const std::vector<operation> &graph) {
	std::set<int64_t> made, unused, all;
	for (const operation &o : graph) {
		for (const tensor *t : o.inputs()) {
			QMDI_CUDNN_CHECK(!t->is_virtual || made.count(t->id) != 0);
			QMDI_CUDNN_CHECK(made.count(t->id) != 0 || all.insert(t->id).second);
			unused.erase(t->id);
		}
		QMDI_CUDNN_CHECK(all.insert(o.output().id).second);
		made.insert(o.output().id);
		if (o.output().is_virtual) {
			unused.insert(o.output().id);
		}
	}
	QMDI_CUDNN_CHECK(unused.empty());
	return CUDNN_STATUS_SUCCESS;
}

/* ---- Numbers ---- */

namespace {

using numbers = std::vector<double>;

/* Rows of channels that belong together: of x at one pixel, of w at one tap, and one number of y. */
template <class Visit> void for_each_tap(const operation &o, Visit visit) {
	const int64_t *x = o.x.place.dims, *w = o.w.place.dims, *y = o.y.place.dims;
	const convolution &s = o.shape;
	for (int64_t n = 0; n < y[0]; ++n) {
		for (int64_t p = 0; p < y[2] * y[3]; ++p) {
			for (int64_t tap = 0; tap < w[2] * w[3]; ++tap) {
				const int64_t row = p / y[3] * s.stride[0] - s.before[0] + tap / w[3] * s.dilation[0];
				const int64_t column = p % y[3] * s.stride[1] - s.before[1] + tap % w[3] * s.dilation[1];
				if (row < 0 || row >= x[2] || column < 0 || column >= x[3]) {
					continue;
				}
				for (int64_t k = 0; k < y[1]; ++k) {
					visit(((n * x[2] + row) * x[3] + column) * x[1], (k * w[2] * w[3] + tap) * w[1],
						  (n * y[2] * y[3] + p) * y[1] + k);
				}
			}
		}
	}
}

/* One tap of one number of y: all channels. */
void multiply(operation_kind kind, double *x, double *w, double &y, size_t n_channels) {
	switch (kind) {
	case operation_kind::forward:
		for (size_t c = 0; c < n_channels; ++c) {
			y += x[c] * w[c];
		}
		return;
	case operation_kind::backward_data:
		for (size_t c = 0; c < n_channels; ++c) {
			x[c] += y * w[c];
		}
		return;
	default:
		for (size_t c = 0; c < n_channels; ++c) {
			w[c] += y * x[c];
		}
	}
}

/* The output of a convolution; the other two are given. */
numbers convolve(const operation &o, numbers x, numbers w, numbers y) {
	numbers &output = o.kind == operation_kind::forward ? y : o.kind == operation_kind::backward_data ? x : w;
	output.assign(static_cast<size_t>(o.output().place.n_numbers()), 0);
	for_each_tap(o, [&](int64_t x_at, int64_t w_at, int64_t y_at) {
		multiply(o.kind, &x[static_cast<size_t>(x_at)], &w[static_cast<size_t>(w_at)], y[static_cast<size_t>(y_at)],
				 static_cast<size_t>(o.x.place.dims[1]));
	});
	return output;
}

/* The number of w, which is repeated along dimensions of 1, that belongs to a number of y. */
size_t repeated(const layout &w, const layout &y, size_t i) {
	const auto number = static_cast<int64_t>(i);
	const int64_t c = number % y.dims[1], column = number / y.dims[1] % y.dims[3];
	const int64_t row = number / y.dims[1] / y.dims[3] % y.dims[2], n = number / y.dims[1] / y.dims[3] / y.dims[2];
	return static_cast<size_t>(
		((n % w.dims[0] * w.dims[2] + row % w.dims[2]) * w.dims[3] + column % w.dims[3]) * w.dims[1] + c % w.dims[1]);
}

/* NaN stays NaN. */
double pointwise(cudnnPointwiseMode_t mode, double x, double w) {
	switch (mode) {
	case CUDNN_POINTWISE_ADD:
		return x + w;
	case CUDNN_POINTWISE_MUL:
		return x * w;
	case CUDNN_POINTWISE_RELU_FWD:
		return x < 0 ? 0 : x;
	default:
		return x;
	}
}

numbers combine(const operation &o, const numbers &x, const numbers &w) {
	numbers y(x.size());
	for (size_t i = 0; i < y.size(); ++i) {
		y[i] = pointwise(o.mode, x[i], o.has_w() ? w[repeated(o.w.place, o.y.place, i)] : 0);
	}
	return y;
}

/* A graph that runs. */
struct graph_run {
	const qmdi_host_engine &engine;
	const std::map<int64_t, void *> &memory;
	std::map<int64_t, numbers> made;

	numbers read(const tensor &t, bool is_multiplied) const {
		numbers all = made.count(t.id) ? made.at(t.id) : read_numbers(t.place, memory.at(t.id));
		for (double &number : all) {
			number = is_multiplied && engine.is_tensor_core && t.place.type == CUDNN_DATA_FLOAT ? round_to_tf32(number)
																								: number;
		}
		return all;
	}

	numbers evaluate(const operation &o) const {
		if (o.kind == operation_kind::pointwise) {
			return combine(o, read(o.x, false), o.has_w() ? read(o.w, false) : numbers());
		}
		numbers given[3];
		const tensor *tensors[3] = {&o.x, &o.w, &o.y};
		for (int i = 0; i < 3; ++i) {
			given[i] = tensors[i] == &o.output() ? numbers() : read(*tensors[i], true);
		}
		numbers result = convolve(o, given[0], given[1], given[2]);
		const uint64_t run = next_run();
		for (size_t i = 0; i < result.size() && engine.is_nondeterministic; ++i) {
			result[i] = disturb(result[i], run, i);
		}
		return result;
	}

	void run(const operation &o) {
		const tensor &output = o.output();
		numbers result = evaluate(o);
		if (output.is_virtual) {
			for (double &number : result) {
				number = round_to(output.place.type, o.alpha * number);
			}
		} else {
			blend_numbers(output.place, std::move(result), o.alpha, o.beta, memory.at(output.id));
			result = read_numbers(output.place, memory.at(output.id));
		}
		made[output.id] = std::move(result);
	}
};

} // namespace

void run_graph(const std::vector<operation> &graph, const qmdi_host_engine &engine,
			   const std::map<int64_t, void *> &memory, void *workspace) {
	graph_run run = {engine, memory, {}};
	for (const operation &o : graph) {
		run.run(o);
	}
	if (engine.workspace != 0) {
		memset(workspace, QMDI_HOST_POISON, engine.workspace);
	}
}

} // namespace qmdi::host
