# messenger_generate_proto(<target> MESSAGES <proto>... SERVICES <proto>...): an
# object library of the generated message and service code, and <target>_generated,
# which only generates it. Paths are relative to the current source directory,
# which is also the import root.
function(messenger_generate_proto target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "MESSAGES;SERVICES")
  set(root "${CMAKE_CURRENT_SOURCE_DIR}")
  set(out "${CMAKE_CURRENT_BINARY_DIR}")
  set(generated)
  foreach(proto IN LISTS arg_MESSAGES arg_SERVICES)
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    set(files "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h")
    set(service_options)
    if(proto IN_LIST arg_SERVICES)
      list(APPEND files "${out}/${stem}.grpc.pb.cc" "${out}/${stem}.grpc.pb.h")
      set(service_options
          "--grpc_out=${out}"
          "--plugin=protoc-gen-grpc=${MESSENGER_GRPC_CPP_PLUGIN}")
    endif()
    add_custom_command(
      OUTPUT ${files}
      COMMAND protobuf::protoc "--proto_path=${root}" "--cpp_out=${out}"
              ${service_options} "${proto}"
      WORKING_DIRECTORY "${root}"
      DEPENDS "${root}/${proto}"
      COMMENT "Generating ${proto}"
      VERBATIM)
    list(APPEND generated ${files})
  endforeach()
  add_custom_target(${target}_generated DEPENDS ${generated})
  add_library(${target} OBJECT ${generated})
  target_include_directories(${target} SYSTEM PUBLIC "${out}")
  target_link_libraries(${target} PUBLIC gRPC::grpc++ protobuf::libprotobuf)
  target_compile_features(${target} PUBLIC cxx_std_20)
  # Not made to be compiled together.
  set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
endfunction()
