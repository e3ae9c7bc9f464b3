# MESSENGER_SANITIZER instruments everything in this build:
#   address  AddressSanitizer with UndefinedBehaviorSanitizer
#   thread   ThreadSanitizer
set(MESSENGER_SANITIZER
    ""
    CACHE STRING "Sanitizer to build with: address, thread, or none")
set_property(CACHE MESSENGER_SANITIZER PROPERTY STRINGS "" address thread)

if(MESSENGER_SANITIZER STREQUAL "address")
  set(flags -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(MESSENGER_SANITIZER STREQUAL "thread")
  set(flags -fsanitize=thread)
elseif(MESSENGER_SANITIZER)
  message(FATAL_ERROR "MESSENGER_SANITIZER is \"${MESSENGER_SANITIZER}\": "
                      "it must be address, thread or empty")
endif()

if(MESSENGER_SANITIZER)
  add_compile_options(${flags} -fno-omit-frame-pointer)
  add_link_options(${flags})
endif()

option(MESSENGER_FUZZERS "Build the fuzz targets as fuzzers (clang)" OFF)

if(MESSENGER_SANITIZER STREQUAL "thread")
  # The system's gRPC is not instrumented: every executable gets the shim that
  # tells ThreadSanitizer how gRPC orders its callbacks.
  find_package(absl CONFIG REQUIRED)
  find_package(gRPC CONFIG REQUIRED)
  add_library(messenger_tsan_shim OBJECT
              "${PROJECT_SOURCE_DIR}/tests/sanitizers/tsan_grpc_shim.cc")
  target_compile_features(messenger_tsan_shim PRIVATE cxx_std_20)
  target_link_libraries(messenger_tsan_shim PRIVATE gRPC::grpc++
                                                    absl::synchronization)
  set(is_executable "$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>")
  target_sources(
    messenger_compile_options
    INTERFACE "$<${is_executable}:$<TARGET_OBJECTS:messenger_tsan_shim>>")
  target_link_libraries(
    messenger_compile_options
    INTERFACE "$<${is_executable}:absl::synchronization>"
              "$<${is_executable}:${CMAKE_DL_LIBS}>")
endif()
