# The public onnx.proto, as C: ${onnx_generated}.
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
find_program(PROTOC_C protoc-c REQUIRED)
find_path(ONNX_PROTO_FOLDER onnx.proto PATH_SUFFIXES onnx REQUIRED)
set(onnx_folder ${CMAKE_CURRENT_BINARY_DIR}/onnx)
set(onnx_generated ${onnx_folder}/onnx.pb-c.c)
file(MAKE_DIRECTORY ${onnx_folder})
add_custom_command(
  OUTPUT ${onnx_generated} ${onnx_folder}/onnx.pb-c.h
  COMMAND ${PROTOC_C} --c_out=${onnx_folder} --proto_path=${ONNX_PROTO_FOLDER} onnx.proto
  DEPENDS ${ONNX_PROTO_FOLDER}/onnx.proto VERBATIM)
# In no kind of build may its assertions end the host.
set_source_files_properties(${onnx_generated} PROPERTIES COMPILE_OPTIONS "-w;-DNDEBUG")
