/* Graphs of the emulated cuDNN, between their descriptors and what runs them. */
#ifndef QMD_KERNELS_CUDA_CUDNN_GRAPH_HOST_H
#define QMD_KERNELS_CUDA_CUDNN_GRAPH_HOST_H

#include <map>

#include "cudnn_host.h"

namespace qmdi::host {

struct tensor {
	int64_t id;
	layout place;
	size_t alignment;
	bool is_virtual; /* no memory: it lives from one operation of a graph to another */
};

struct convolution {
	int64_t before[2], after[2], stride[2], dilation[2];
};

enum class operation_kind { forward, backward_data, backward_filter, pointwise };

/* Convolutions: x, w and y by their names, of which the kind's own is the output. Pointwise: y of x and w, which is
 * there for CUDNN_POINTWISE_ADD and _MUL. */
struct operation {
	operation_kind kind;
	tensor x, w, y;
	convolution shape;
	double alpha, beta;
	cudnnPointwiseMode_t mode;

	bool has_w() const {
		return kind != operation_kind::pointwise || mode == CUDNN_POINTWISE_ADD || mode == CUDNN_POINTWISE_MUL;
	}
	const tensor &output() const {
		return kind == operation_kind::backward_data ? x : kind == operation_kind::backward_filter ? w : y;
	}
	std::vector<const tensor *> inputs() const;
};

cudnnStatus_t check_operation(const operation &o);
cudnnStatus_t check_graph(const std::vector<operation> &graph);

/* Do a graph's operations in order. `memory` has the tensors that are not virtual, by their ids. */
void run_graph(const std::vector<operation> &graph, const qmdi_host_engine &engine,
			   const std::map<int64_t, void *> &memory, void *workspace);

} // namespace qmdi::host

#endif
