# messenger_generate_proto(<target> <proto>...): an object library of the
# generated message and service code. Paths are relative to the current source
# directory, which is also the import root.
function(messenger_generate_proto target)
  set(root "${CMAKE_CURRENT_SOURCE_DIR}")
  set(out "${CMAKE_CURRENT_BINARY_DIR}")
  set(generated)
  foreach(proto IN LISTS ARGN)
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    set(files "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h"
              "${out}/${stem}.grpc.pb.cc" "${out}/${stem}.grpc.pb.h")
    add_custom_command(
      OUTPUT ${files}
      COMMAND
        protobuf::protoc "--proto_path=${root}" "--cpp_out=${out}"
        "--grpc_out=${out}"
        "--plugin=protoc-gen-grpc=${MESSENGER_GRPC_CPP_PLUGIN}" "${proto}"
      WORKING_DIRECTORY "${root}"
      DEPENDS "${root}/${proto}"
      COMMENT "Generating ${proto}"
      VERBATIM)
    list(APPEND generated ${files})
  endforeach()
  add_library(${target} OBJECT ${generated})
  target_include_directories(${target} SYSTEM PUBLIC "${out}")
  target_link_libraries(${target} PUBLIC gRPC::grpc++ protobuf::libprotobuf)
  target_compile_features(${target} PUBLIC cxx_std_20)
  # Not ours to lint, nor made to be compiled together.
  set_target_properties(${target} PROPERTIES CXX_CLANG_TIDY "" UNITY_BUILD OFF)
endfunction()
