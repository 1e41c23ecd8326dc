#include "onnx_read.h"

#include <string.h>

/* A model's tensor is 5 deep (model, graph, node, attribute, tensor), a subgraph's 9. protobuf-c itself recurses as
 * deep as the bytes say. */
#define MAX_NESTING 16

enum { VARINT = 0, EIGHT_BYTES = 1, LENGTH_DELIMITED = 2, FOUR_BYTES = 5 };

/* ---- The wire format, before anything is unpacked ---- */

typedef struct wire {
	const char *name;
	const uint8_t *data; /* the whole file */
	size_t size, offset; /* the end of what is looked at */
} wire;

static qmd_status fail_at(const wire *w, const char *what) {
	return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %zu: not an ONNX file: %s", w->name, w->offset, what);
}

static qmd_status get_varint(wire *w, uint64_t *value) {
	*value = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (w->offset == w->size)
			return fail_at(w, "a number is cut off");
		const uint8_t byte = w->data[w->offset++];
		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return QMD_OK;
	}
	return fail_at(w, "a number has more than 64 bits");
}

static qmd_status skip(wire *w, uint64_t n) {
	if (n > w->size - w->offset)
		return fail_at(w, "a field is longer than the message that holds it");
	w->offset += (size_t)n;
	return QMD_OK;
}

static qmd_status check_message(wire *w, const ProtobufCMessageDescriptor *descriptor, int depth);

static qmd_status check_delimited(wire *w, const ProtobufCFieldDescriptor *field, int depth) {
	uint64_t length;
	QMDI_TRY(get_varint(w, &length));
	const size_t start = w->offset;
	QMDI_TRY(skip(w, length));
	if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return QMD_OK;
	wire inside = {w->name, w->data, w->offset, start};
	return check_message(&inside, field->descriptor, depth + 1);
}

static qmd_status check_message(wire *w, const ProtobufCMessageDescriptor *descriptor, int depth) {
	if (depth > MAX_NESTING)
		return fail_at(w, "messages are nested deeper than any model's");
	while (w->offset < w->size) {
		uint64_t tag, ignored;
		QMDI_TRY(get_varint(w, &tag));
		if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
			return fail_at(w, "not a field's number");
		switch (tag & 7) {
		case VARINT:
			QMDI_TRY(get_varint(w, &ignored));
			break;
		case EIGHT_BYTES:
			QMDI_TRY(skip(w, 8));
			break;
		case LENGTH_DELIMITED:
			QMDI_TRY(
				check_delimited(w, protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3)), depth));
			break;
		case FOUR_BYTES:
			QMDI_TRY(skip(w, 4));
			break;
		default:
			return fail_at(w, "not a field's type");
		}
	}
	return QMD_OK;
}

/* ---- Unpacking ---- */

static void *allocate_in_arena(void *arena, size_t size) {
	return qmdi_arena_take(arena, size, 1);
}

static void release_later(void *arena, void *pointer) {
	(void)arena;
	(void)pointer;
}

qmd_status qmdi_onnx_unpack(qmdi_arena *arena, const void *data, size_t size, const char *name,
							const Onnx__ModelProto **model) {
	if (size > QMDI_ONNX_MAX_SIZE)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: %zu bytes, an ONNX file has at most %d", name, size,
						 QMDI_ONNX_MAX_SIZE);
	wire w = {name, data, size, 0};
	QMDI_TRY(check_message(&w, &onnx__model_proto__descriptor, 0));
	ProtobufCAllocator allocator = {allocate_in_arena, release_later, arena};
	const size_t before = arena->n_refused;
	*model = onnx__model_proto__unpack(&allocator, size, data);
	if (*model)
		return QMD_OK;
	if (arena->n_refused > before)
		return QMD_ERROR_MEMORY; /* the arena has said why */
	return qmdi_fail(QMD_ERROR_FORMAT, "%s: not an ONNX model: a field has another type than it should", name);
}

/* ---- Tensors ---- */

size_t qmdi_onnx_type_size(int32_t type) {
	switch (type) {
	case QMDI_ONNX_U8:
	case QMDI_ONNX_S8:
	case QMDI_ONNX_BOOL:
		return 1;
	case QMDI_ONNX_FLOAT:
	case QMDI_ONNX_S32:
		return 4;
	case QMDI_ONNX_S64:
		return 8;
	default:
		return 0;
	}
}

const char *qmdi_onnx_type_name(int32_t type) {
	static const char *const names[] = {"undefined", "float",  "uint8",     "int8",       "uint16",  "int16",
										"int32",     "int64",  "string",    "bool",       "float16", "double",
										"uint32",    "uint64", "complex64", "complex128", "bfloat16"};
	if (type < 0 || (size_t)type >= sizeof names / sizeof names[0])
		return "another type";
	return names[type];
}

static qmd_status set_dims(const Onnx__TensorProto *message, qmdi_onnx_tensor *tensor) {
	if (message->n_dims > QMDI_ONNX_MAX_DIMS)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it has %zu extents, at most %d are read", message->n_dims,
						 QMDI_ONNX_MAX_DIMS);
	tensor->n_dims = message->n_dims;
	tensor->n = 1;
	for (size_t i = 0; i < message->n_dims; i++) {
		const int64_t dim = message->dims[i];
		if (dim < 0 || (uint64_t)dim > QMDI_MAX_ELEMENTS || (dim > 0 && tensor->n > QMDI_MAX_ELEMENTS / (size_t)dim))
			return qmdi_fail(QMD_ERROR_FORMAT, "extent %zu is %lld: expected at most %u elements in all", i,
							 (long long)dim, QMDI_MAX_ELEMENTS);
		tensor->dims[i] = (size_t)dim;
		tensor->n *= (size_t)dim;
	}
	return QMD_OK;
}

static qmd_status demand_count(const qmdi_onnx_tensor *tensor, const char *field, size_t n) {
	if (n != tensor->n)
		return qmdi_fail(QMD_ERROR_FORMAT, "its extents ask for %zu elements, %s holds %zu", tensor->n, field, n);
	return QMD_OK;
}

/* 8-bit integers in a field of 32-bit ones. */
static qmd_status narrow(qmdi_arena *arena, const Onnx__TensorProto *message, qmdi_onnx_tensor *tensor) {
	const int32_t low = tensor->type == QMDI_ONNX_S8 ? -128 : 0, high = low + 255;
	uint8_t *bytes = qmdi_arena_take(arena, tensor->n, 1);
	if (!bytes)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < tensor->n; i++) {
		const int32_t value = message->int32_data[i];
		if (value < low || value > high)
			return qmdi_fail(QMD_ERROR_FORMAT, "element %zu is %d, beyond %s", i, value,
							 qmdi_onnx_type_name(tensor->type));
		bytes[i] = (uint8_t)(value & 0xff);
	}
	tensor->data = bytes;
	return QMD_OK;
}

static qmd_status take_typed_data(qmdi_arena *arena, const Onnx__TensorProto *message, qmdi_onnx_tensor *tensor) {
	switch (tensor->type) {
	case QMDI_ONNX_FLOAT:
		tensor->data = message->float_data;
		return demand_count(tensor, "float_data", message->n_float_data);
	case QMDI_ONNX_S64:
		tensor->data = message->int64_data;
		return demand_count(tensor, "int64_data", message->n_int64_data);
	case QMDI_ONNX_S32:
		tensor->data = message->int32_data;
		return demand_count(tensor, "int32_data", message->n_int32_data);
	default:
		QMDI_TRY(demand_count(tensor, "int32_data", message->n_int32_data));
		return narrow(arena, message, tensor);
	}
}

qmd_status qmdi_onnx_tensor_read(qmdi_arena *arena, const Onnx__TensorProto *message, qmdi_onnx_tensor *tensor) {
	*tensor = (qmdi_onnx_tensor){.type = message->has_data_type ? message->data_type : 0};
	if (message->n_external_data > 0 ||
		(message->has_data_location && message->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "its data are in another file, which is not opened (save the model with its data inside)");
	if (message->segment)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it is only a segment of a tensor");
	const size_t size = qmdi_onnx_type_size(tensor->type);
	if (size == 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its type is %s, expected float, int8, uint8, int32, int64 or bool",
						 qmdi_onnx_type_name(tensor->type));
	QMDI_TRY(set_dims(message, tensor));
	if (!message->has_raw_data)
		return take_typed_data(arena, message, tensor);
	if (message->raw_data.len != tensor->n * size)
		return qmdi_fail(QMD_ERROR_FORMAT, "its extents ask for %zu bytes, raw_data holds %zu", tensor->n * size,
						 message->raw_data.len);
	tensor->data = message->raw_data.data;
	return QMD_OK;
}

int64_t qmdi_onnx_integer(const qmdi_onnx_tensor *tensor, size_t i) {
	switch (tensor->type) {
	case QMDI_ONNX_S8:
		return ((const int8_t *)tensor->data)[i];
	case QMDI_ONNX_U8:
	case QMDI_ONNX_BOOL:
		return ((const uint8_t *)tensor->data)[i];
	case QMDI_ONNX_S32:
		return ((const int32_t *)tensor->data)[i];
	default:
		return ((const int64_t *)tensor->data)[i];
	}
}

size_t qmdi_onnx_scale_index(const qmdi_onnx_tensor *tensor, size_t i) {
	if (tensor->n_scales == 1)
		return 0;
	size_t inner = 1;
	for (size_t d = tensor->axis + 1; d < tensor->n_dims; d++)
		inner *= tensor->dims[d];
	return i / inner % tensor->dims[tensor->axis];
}

int qmdi_onnx_is_real(const qmdi_onnx_tensor *tensor) {
	return tensor->type == QMDI_ONNX_FLOAT || tensor->scales;
}

float qmdi_onnx_real(const qmdi_onnx_tensor *tensor, size_t i) {
	if (!tensor->scales)
		return ((const float *)tensor->data)[i];
	const int64_t q = qmdi_onnx_integer(tensor, i) - tensor->zero;
	return (float)((double)tensor->scales[qmdi_onnx_scale_index(tensor, i)] * (double)q);
}
