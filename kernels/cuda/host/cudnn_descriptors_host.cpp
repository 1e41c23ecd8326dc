/* Descriptors of the emulated cuDNN's graphs: what attributes there are, what they must hold, and the plans that come
 * of them. */
#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

#include "cudnn_graph_host.h"

namespace qmdi::host {

namespace {

struct descriptor;

/* What SetAttribute was given. A descriptor is kept as it was then: it may be destroyed. */
struct attribute {
	int64_t n = 0;
	std::vector<unsigned char> bytes;
	std::vector<std::shared_ptr<descriptor>> children;
};

struct descriptor {
	cudnnBackendDescriptorType_t type;
	bool is_final;
	std::map<cudnnBackendAttributeName_t, attribute> attributes;
	qmdi_host_engine behaviour; /* of an engine */

	bool has(cudnnBackendAttributeName_t name) const {
		return attributes.count(name) != 0;
	}
	template <class T> std::vector<T> all(cudnnBackendAttributeName_t name) const {
		const attribute &a = attributes.at(name);
		std::vector<T> values(static_cast<size_t>(a.n));
		std::copy(a.bytes.begin(), a.bytes.end(), reinterpret_cast<unsigned char *>(values.data()));
		return values;
	}
	template <class T> T value(cudnnBackendAttributeName_t name) const {
		T first;
		memcpy(&first, attributes.at(name).bytes.data(), sizeof first);
		return first;
	}
	template <class T> T value(cudnnBackendAttributeName_t name, T otherwise) const {
		return has(name) ? value<T>(name) : otherwise;
	}
	const descriptor &child(cudnnBackendAttributeName_t name) const {
		return *attributes.at(name).children[0];
	}
	/* For what cuDNN fills in itself. */
	template <class T> void set(cudnnBackendAttributeName_t name, const std::vector<T> &values) {
		attribute a;
		a.n = static_cast<int64_t>(values.size());
		const auto *bytes = reinterpret_cast<const unsigned char *>(values.data());
		a.bytes.assign(bytes, bytes + values.size() * sizeof(T));
		attributes[name] = a;
	}
};

/* The host's: the object behind a cudnnBackendDescriptor_t. */
using owner = std::shared_ptr<descriptor>;
registry<owner> owners;

owner *owner_of(cudnnBackendDescriptor_t pointer) {
	return static_cast<owner *>(pointer);
}

/* ---- What attributes there are ---- */

enum rule_kind { required, optional, output };

struct rule {
	cudnnBackendDescriptorType_t descriptor;
	cudnnBackendAttributeName_t name;
	cudnnBackendAttributeType_t type;
	rule_kind kind;
	int64_t most; /* elements */
	cudnnBackendDescriptorType_t child;
};

#define VALUES(descriptor, name, type, kind, most)                                                                     \
	{                                                                                                                  \
		CUDNN_BACKEND_##descriptor##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_##type, kind, most, {                   \
		}                                                                                                              \
	}
#define CHILD(descriptor, name, kind, child)                                                                           \
	{                                                                                                                  \
		CUDNN_BACKEND_##descriptor##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_BACKEND_DESCRIPTOR, kind, 1,            \
			CUDNN_BACKEND_##child##_DESCRIPTOR                                                                         \
	}
#define CONVOLUTION(descriptor, name, x, w, y)                                                                         \
	CHILD(descriptor, name##_CONV_DESC, required, CONVOLUTION), CHILD(descriptor, name##_##x, required, TENSOR),       \
		CHILD(descriptor, name##_##w, required, TENSOR), CHILD(descriptor, name##_##y, required, TENSOR),              \
		VALUES(descriptor, name##_ALPHA, FLOAT, optional, 1), VALUES(descriptor, name##_BETA, FLOAT, optional, 1)

constexpr int64_t many = 64;

const rule rules[] = {
	VALUES(TENSOR, TENSOR_UNIQUE_ID, INT64, required, 1),
	VALUES(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, required, 1),
	VALUES(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, required, 1),
	VALUES(TENSOR, TENSOR_DIMENSIONS, INT64, required, CUDNN_DIM_MAX),
	VALUES(TENSOR, TENSOR_STRIDES, INT64, required, CUDNN_DIM_MAX),
	VALUES(TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, optional, 1),

	VALUES(CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, required, 1),
	VALUES(CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, required, 1),
	VALUES(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, required, 1),
	VALUES(CONVOLUTION, CONVOLUTION_DILATIONS, INT64, required, CUDNN_DIM_MAX),
	VALUES(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, required, CUDNN_DIM_MAX),
	VALUES(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, required, CUDNN_DIM_MAX),
	VALUES(CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, required, CUDNN_DIM_MAX),
	CONVOLUTION(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD, X, W, Y),
	CONVOLUTION(OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA, DX, W, DY),
	CONVOLUTION(OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER, X, DW, DY),

	VALUES(POINTWISE, POINTWISE_MODE, POINTWISE_MODE, required, 1),
	VALUES(POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, required, 1),
	CHILD(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, required, POINTWISE),
	CHILD(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, required, TENSOR),
	CHILD(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, optional, TENSOR),
	CHILD(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, required, TENSOR),

	VALUES(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, required, 1),
	VALUES(OPERATIONGRAPH, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, required, many),

	CHILD(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, required, OPERATIONGRAPH),
	VALUES(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, required, 1),
	CHILD(ENGINEHEUR, ENGINEHEUR_RESULTS, output, ENGINECFG),

	CHILD(ENGINE, ENGINE_OPERATION_GRAPH, required, OPERATIONGRAPH),
	VALUES(ENGINE, ENGINE_GLOBAL_INDEX, INT64, required, 1),
	VALUES(ENGINE, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, output, many),
	VALUES(ENGINE, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE, output, many),
	CHILD(ENGINECFG, ENGINECFG_ENGINE, required, ENGINE),

	VALUES(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, required, 1),
	CHILD(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, required, ENGINECFG),
	VALUES(EXECUTION_PLAN, EXECUTION_PLAN_WORKSPACE_SIZE, INT64, output, 1),

	VALUES(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, required, many),
	VALUES(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, required, many),
	VALUES(VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, optional, 1),
};

const rule *find_rule(cudnnBackendDescriptorType_t descriptor, cudnnBackendAttributeName_t name) {
	const rule *found = std::find_if(std::begin(rules), std::end(rules),
									 [=](const rule &r) { return r.descriptor == descriptor && r.name == name; });
	return found == std::end(rules) ? nullptr : found;
}

size_t size_of_element(cudnnBackendAttributeType_t type) {
	switch (type) {
	case CUDNN_TYPE_BOOLEAN:
		return sizeof(bool);
	case CUDNN_TYPE_INT64:
	case CUDNN_TYPE_HANDLE:
	case CUDNN_TYPE_VOID_PTR:
	case CUDNN_TYPE_BACKEND_DESCRIPTOR:
		return 8;
	default: /* FP32 and enumerations */
		return 4;
	}
}

/* ---- From descriptors to what they mean ---- */

tensor tensor_of(const descriptor &d) {
	tensor t = {d.value<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID),
				{d.value<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE), {}, {}},
				static_cast<size_t>(d.value<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)),
				d.value<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL, false)};
	const auto dims = d.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS), strides = d.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
	std::copy_n(dims.begin(), 4, t.place.dims);
	std::copy_n(strides.begin(), 4, t.place.strides);
	return t;
}

convolution convolution_of(const descriptor &d) {
	convolution c = {};
	const auto copy = [&](cudnnBackendAttributeName_t name, int64_t(&to)[2]) {
		std::copy_n(d.all<int64_t>(name).begin(), 2, to);
	};
	copy(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, c.before);
	copy(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, c.after);
	copy(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, c.stride);
	copy(CUDNN_ATTR_CONVOLUTION_DILATIONS, c.dilation);
	return c;
}

#define CONVOLUTION_OF(d, kind, name, x, w, y)                                                                         \
	operation {                                                                                                        \
		kind, tensor_of((d).child(CUDNN_ATTR_##name##_##x)), tensor_of((d).child(CUDNN_ATTR_##name##_##w)),            \
			tensor_of((d).child(CUDNN_ATTR_##name##_##y)), convolution_of((d).child(CUDNN_ATTR_##name##_CONV_DESC)),   \
			(d).value<float>(CUDNN_ATTR_##name##_ALPHA, 1), (d).value<float>(CUDNN_ATTR_##name##_BETA, 0), {           \
		}                                                                                                              \
	}

operation pointwise_of(const descriptor &d) {
	const auto mode =
		d.child(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR).value<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
	operation o = {operation_kind::pointwise,
				   tensor_of(d.child(CUDNN_ATTR_OPERATION_POINTWISE_XDESC)),
				   {},
				   tensor_of(d.child(CUDNN_ATTR_OPERATION_POINTWISE_YDESC)),
				   {},
				   1,
				   0,
				   mode};
	if (o.has_w()) {
		o.w = tensor_of(d.child(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
	}
	return o;
}

operation operation_of(const descriptor &d) {
	switch (d.type) {
	case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
		return CONVOLUTION_OF(d, operation_kind::forward, OPERATION_CONVOLUTION_FORWARD, X, W, Y);
	case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
		return CONVOLUTION_OF(d, operation_kind::backward_data, OPERATION_CONVOLUTION_BWD_DATA, DX, W, DY);
	case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
		return CONVOLUTION_OF(d, operation_kind::backward_filter, OPERATION_CONVOLUTION_BWD_FILTER, X, DW, DY);
	default:
		return pointwise_of(d);
	}
}

std::vector<operation> graph_of(const descriptor &d) {
	std::vector<operation> graph;
	for (const auto &child : d.attributes.at(CUDNN_ATTR_OPERATIONGRAPH_OPS).children) {
		graph.push_back(operation_of(*child));
	}
	return graph;
}

const descriptor &engine_of_plan(const descriptor &plan) {
	return plan.child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).child(CUDNN_ATTR_ENGINECFG_ENGINE);
}

/* ---- Finalizing ---- */

cudnnStatus_t finalize_tensor(descriptor &d) {
	const auto dims = d.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS), strides = d.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
	const int64_t alignment = d.value<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
	const size_t size = size_of(d.value<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE));
	QMDI_CUDNN_CHECK(dims.size() == strides.size());
	QMDI_CUDNN_CHECK(std::all_of(dims.begin(), dims.end(), [](int64_t n) { return n > 0; }));
	QMDI_CUDNN_CHECK(std::all_of(strides.begin(), strides.end(), [](int64_t n) { return n > 0; }));
	QMDI_CUDNN_CHECK(size != 0);
	QMDI_CUDNN_CHECK(alignment > 0 && (alignment & (alignment - 1)) == 0 &&
					 alignment % static_cast<int64_t>(size) == 0);
	if (dims.size() != 4) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "tensors of %zu dimensions are not emulated", dims.size());
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_convolution(descriptor &d) {
	QMDI_CUDNN_CHECK(d.value<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) == 2);
	for (const auto name : {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES,
							CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS}) {
		const int64_t least =
			name == CUDNN_ATTR_CONVOLUTION_DILATIONS || name == CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES ? 1 : 0;
		const auto values = d.all<int64_t>(name);
		QMDI_CUDNN_CHECK(values.size() == 2 && values[0] >= least && values[1] >= least);
	}
	if (d.value<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "kernels that are turned round are not emulated");
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_pointwise(descriptor &d) {
	const auto mode = d.value<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
	if (mode != CUDNN_POINTWISE_ADD && mode != CUDNN_POINTWISE_MUL && mode != CUDNN_POINTWISE_RELU_FWD &&
		mode != CUDNN_POINTWISE_IDENTITY) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "pointwise mode %d is not emulated", mode);
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_operation(descriptor &d) {
	if (d.type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
		const auto mode = d.child(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR)
							  .value<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
		const bool needs_b = mode == CUDNN_POINTWISE_ADD || mode == CUDNN_POINTWISE_MUL;
		QMDI_CUDNN_CHECK(d.has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC) == needs_b);
	}
	return check_operation(operation_of(d));
}

cudnnStatus_t finalize_graph(descriptor &d) {
	QMDI_CUDNN_CHECK(handles.has(d.value<cudnnHandle_t>(CUDNN_ATTR_OPERATIONGRAPH_HANDLE)));
	return check_graph(graph_of(d));
}

/* A configuration of engine i. */
owner offer(const owner &graph, size_t i) {
	std::vector<cudnnBackendNumericalNote_t> notes;
	if (vendor.engines[i].is_tensor_core) {
		notes.push_back(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
	}
	if (vendor.engines[i].is_nondeterministic) {
		notes.push_back(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
	}
	const auto engine =
		std::make_shared<descriptor>(descriptor{CUDNN_BACKEND_ENGINE_DESCRIPTOR, true, {}, vendor.engines[i]});
	engine->attributes[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] = {1, {}, {graph}};
	engine->set<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, {static_cast<int64_t>(i)});
	engine->set(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, notes);
	engine->set<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, {});
	const auto config = std::make_shared<descriptor>(descriptor{CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, true, {}, {}});
	config->attributes[CUDNN_ATTR_ENGINECFG_ENGINE] = {1, {}, {engine}};
	return config;
}

cudnnStatus_t finalize_heuristics(descriptor &d) {
	const owner &graph = d.attributes.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).children[0];
	const bool is_fallback = d.value<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_FALLBACK;
	attribute results;
	for (size_t i = is_fallback && vendor.n_engines != 0 ? vendor.n_engines - 1 : 0; i < vendor.n_engines; ++i) {
		results.children.push_back(offer(graph, i));
	}
	results.n = static_cast<int64_t>(results.children.size());
	d.attributes[CUDNN_ATTR_ENGINEHEUR_RESULTS] = results;
	return CUDNN_STATUS_SUCCESS;
}

/* By qmdi_host_vendor.refuses. */
bool is_refused(const std::vector<operation> &graph) {
	const cudnnDataType_t type = graph[0].x.place.type;
	const int all = type == CUDNN_DATA_INT8 ? QMDI_HOST_INT8 : type == CUDNN_DATA_HALF ? QMDI_HOST_FP16 : 0;
	const int fused = type == CUDNN_DATA_INT8   ? QMDI_HOST_FUSED_INT8
					  : type == CUDNN_DATA_HALF ? QMDI_HOST_FUSED_FP16
												: 0;
	return (vendor.refuses & all) != 0 || (graph.size() > 1 && (vendor.refuses & fused) != 0);
}

cudnnStatus_t finalize_plan(descriptor &d) {
	const descriptor &graph = engine_of_plan(d).child(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
	const auto handle = d.value<cudnnHandle_t>(CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
	QMDI_CUDNN_TRY(check_handle(handle));
	QMDI_CUDNN_CHECK(handle == graph.value<cudnnHandle_t>(CUDNN_ATTR_OPERATIONGRAPH_HANDLE));
	const qmdi_host_engine &engine = engine_of_plan(d).behaviour;
	if (is_refused(graph_of(graph))) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "this graph is refused, as was asked for");
	}
	if (engine.is_refused) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "this engine supports nothing");
	}
	d.set<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, {static_cast<int64_t>(engine.workspace)});
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_pack(descriptor &d) {
	auto ids = d.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
	QMDI_CUDNN_CHECK(d.attributes.at(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).n == static_cast<int64_t>(ids.size()));
	std::sort(ids.begin(), ids.end());
	if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) {
		return fail(CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES, "a variant pack with two tensors of one id");
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_attributes(const descriptor &d) {
	for (const rule &r : rules) {
		if (r.descriptor != d.type) {
			continue;
		}
		const auto found = d.attributes.find(r.name);
		if (r.kind == required && found == d.attributes.end()) {
			return fail(CUDNN_STATUS_BAD_PARAM, "attribute %d of a descriptor of type %d was not set", r.name, d.type);
		}
		if (found == d.attributes.end()) {
			continue;
		}
		for (const owner &child : found->second.children) {
			if (!child->is_final) {
				return fail(CUDNN_STATUS_BAD_PARAM, "attribute %d is a descriptor that was not finalized", r.name);
			}
		}
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize(descriptor &d) {
	switch (d.type) {
	case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
		return finalize_tensor(d);
	case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
		return finalize_convolution(d);
	case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
		return finalize_pointwise(d);
	case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
		return finalize_graph(d);
	case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
		return finalize_heuristics(d);
	case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
		return finalize_plan(d);
	case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
		return finalize_pack(d);
	case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
	case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "engines and configurations come from heuristics here");
	default:
		return finalize_operation(d);
	}
}

bool is_operation(cudnnBackendDescriptorType_t type) {
	return type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR ||
		   (type >= CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR &&
			type <= CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
}

/* Elements that are descriptors: all of the type that they must be. */
cudnnStatus_t check_children(const rule &r, int64_t n, const void *elements) {
	for (int64_t i = 0; i < n; ++i) {
		const owner *child = owner_of(static_cast<const cudnnBackendDescriptor_t *>(elements)[i]);
		QMDI_CUDNN_CHECK(owners.has(child));
		const bool fits =
			r.name == CUDNN_ATTR_OPERATIONGRAPH_OPS ? is_operation((*child)->type) : (*child)->type == r.child;
		QMDI_CUDNN_CHECK(fits);
	}
	return CUDNN_STATUS_SUCCESS;
}

} // namespace

/* ---- The functions ---- */

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_CHECK(out);
	if (std::none_of(std::begin(rules), std::end(rules), [=](const rule &r) { return r.descriptor == type; })) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "descriptors of type %d are not emulated", type);
	}
	*out = owners.create(std::make_shared<descriptor>(descriptor{type, false, {}, {}}));
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t pointer) {
	const std::lock_guard<std::recursive_mutex> guard(machine_lock());
	if (!pointer) {
		return fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "cudnnBackendDestroyDescriptor: NULL");
	}
	QMDI_CUDNN_CHECK(owners.destroy(owner_of(pointer)));
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t pointer) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_CHECK(owners.has(owner_of(pointer)));
	descriptor &d = **owner_of(pointer);
	QMDI_CUDNN_CHECK(!d.is_final);
	QMDI_CUDNN_TRY(check_attributes(d));
	QMDI_CUDNN_TRY(finalize(d));
	d.is_final = true;
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t pointer, cudnnBackendAttributeName_t name,
									   cudnnBackendAttributeType_t type, int64_t n, const void *elements) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_CHECK(owners.has(owner_of(pointer)));
	descriptor &d = **owner_of(pointer);
	const rule *r = find_rule(d.type, name);
	QMDI_CUDNN_CHECK(!d.is_final);
	QMDI_CUDNN_CHECK(r && r->kind != output);
	if (type != r->type) {
		return fail(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d is of type %d, not %d", name, r->type, type);
	}
	QMDI_CUDNN_CHECK(elements && n > 0 && n <= r->most);
	attribute a;
	a.n = n;
	if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
		QMDI_CUDNN_TRY(check_children(*r, n, elements));
		for (int64_t i = 0; i < n; ++i) {
			a.children.push_back(*owner_of(static_cast<const cudnnBackendDescriptor_t *>(elements)[i]));
		}
	} else {
		const auto *bytes = static_cast<const unsigned char *>(elements);
		a.bytes.assign(bytes, bytes + static_cast<size_t>(n) * size_of_element(type));
	}
	d.attributes[name] = std::move(a);
	return CUDNN_STATUS_SUCCESS;
}

/* As many as there are and are asked for; for none, how many there may be, which real heuristics do not always keep. */
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t pointer, cudnnBackendAttributeName_t name,
									   cudnnBackendAttributeType_t type, int64_t n_wanted, int64_t *n_found,
									   void *elements) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_CHECK(owners.has(owner_of(pointer)));
	const descriptor &d = **owner_of(pointer);
	const rule *r = find_rule(d.type, name);
	if (!d.is_final) {
		return fail(CUDNN_STATUS_NOT_INITIALIZED, "an attribute of a descriptor that was not finalized");
	}
	QMDI_CUDNN_CHECK(r && d.has(name) && n_wanted >= 0 && (elements || n_wanted == 0));
	if (type != r->type) {
		return fail(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d is of type %d, not %d", name, r->type, type);
	}
	const attribute &a = d.attributes.at(name);
	const int64_t n = std::min(a.n, n_wanted);
	if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
		QMDI_CUDNN_TRY(check_children(*r, n_wanted, elements));
		for (int64_t i = 0; i < n; ++i) {
			descriptor &given = **owner_of(static_cast<cudnnBackendDescriptor_t *>(elements)[i]);
			QMDI_CUDNN_CHECK(!given.is_final);
			given = *a.children[static_cast<size_t>(i)];
		}
	} else if (n != 0) {
		memcpy(elements, a.bytes.data(), static_cast<size_t>(n) * size_of_element(type));
	}
	if (n_found) {
		*n_found = n_wanted != 0 ? n : name == CUDNN_ATTR_ENGINEHEUR_RESULTS ? a.n + 1 : a.n;
	}
	return CUDNN_STATUS_SUCCESS;
}

namespace {

/* The memory of a pack for the tensors of a graph. */
cudnnStatus_t find_memory(const std::vector<operation> &graph, const descriptor &pack,
						  std::map<int64_t, void *> &memory) {
	const auto ids = pack.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
	const auto pointers = pack.all<void *>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
	for (const operation &o : graph) {
		std::vector<const tensor *> all = o.inputs();
		all.push_back(&o.output());
		for (const tensor *t : all) {
			if (t->is_virtual) {
				continue;
			}
			const auto found = std::find(ids.begin(), ids.end(), t->id);
			QMDI_CUDNN_CHECK(found != ids.end());
			void *pointer = pointers[static_cast<size_t>(found - ids.begin())];
			QMDI_CUDNN_TRY(check_memory("a tensor", pointer, t->place.n_bytes(), t->alignment));
			memory[t->id] = pointer;
		}
	}
	QMDI_CUDNN_CHECK(memory.size() == ids.size());
	return CUDNN_STATUS_SUCCESS;
}

/* Nothing that is written may lie where something else does. */
cudnnStatus_t check_overlap(const std::vector<operation> &graph, const std::map<int64_t, void *> &memory,
							const void *workspace, size_t workspace_size) {
	std::vector<std::pair<const char *, const char *>> ranges;
	std::set<int64_t> seen;
	const auto add = [&](const void *pointer, size_t size) {
		const auto *start = static_cast<const char *>(pointer);
		ranges.emplace_back(start, start + size);
	};
	for (const operation &o : graph) {
		for (const tensor *t : {&o.x, &o.w, &o.y}) {
			if (memory.count(t->id) != 0 && seen.insert(t->id).second) {
				add(memory.at(t->id), t->place.n_bytes());
			}
		}
	}
	add(workspace, workspace_size);
	std::sort(ranges.begin(), ranges.end());
	for (size_t i = 1; i < ranges.size(); ++i) {
		QMDI_CUDNN_CHECK(ranges[i - 1].second <= ranges[i].first);
	}
	return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_pointer,
								  cudnnBackendDescriptor_t pack_pointer) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_TRY(check_handle(handle));
	QMDI_CUDNN_CHECK(owners.has(owner_of(plan_pointer)) && owners.has(owner_of(pack_pointer)));
	const descriptor &plan = **owner_of(plan_pointer), &pack = **owner_of(pack_pointer);
	QMDI_CUDNN_CHECK(plan.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && plan.is_final);
	QMDI_CUDNN_CHECK(pack.type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR && pack.is_final);
	QMDI_CUDNN_CHECK(plan.value<cudnnHandle_t>(CUDNN_ATTR_EXECUTION_PLAN_HANDLE) == handle);
	const std::vector<operation> graph = graph_of(engine_of_plan(plan).child(CUDNN_ATTR_ENGINE_OPERATION_GRAPH));
	const qmdi_host_engine engine = engine_of_plan(plan).behaviour;
	void *workspace = pack.value<void *>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, nullptr);
	std::map<int64_t, void *> memory;
	QMDI_CUDNN_TRY(find_memory(graph, pack, memory));
	if (engine.workspace != 0) {
		QMDI_CUDNN_TRY(check_memory("the workspace", workspace, engine.workspace, 16));
	}
	QMDI_CUDNN_TRY(check_overlap(graph, memory, workspace, engine.workspace));
	return give(handle, [=] { run_graph(graph, engine, memory, workspace); });
}

} // namespace qmdi::host
