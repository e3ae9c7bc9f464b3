# Everything the build needs from the system. Debian 12 names in parentheses.
find_package(Threads REQUIRED)

# Debian's protobuf ships no CMake config: module mode (libprotobuf-dev,
# protobuf-compiler).
find_package(Protobuf MODULE REQUIRED)

# gRPC's config exports libraries but not its code generator (libgrpc++-dev,
# protobuf-compiler-grpc).
find_package(gRPC CONFIG REQUIRED)
find_program(MESSENGER_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

find_package(absl CONFIG REQUIRED) # libabsl-dev
find_package(fmt CONFIG REQUIRED) # libfmt-dev
find_package(OpenSSL 3.0 REQUIRED) # libssl-dev

# libxxhash ships pkg-config only (libxxhash-dev).
find_package(PkgConfig REQUIRED)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)

if(MESSENGER_BUILD_APPS OR MESSENGER_BUILD_BENCHMARKS)
  find_package(CLI11 CONFIG REQUIRED) # libcli11-dev
  find_package(nlohmann_json CONFIG REQUIRED) # nlohmann-json3-dev
endif()
if(MESSENGER_BUILD_GATEWAY)
  find_package(Boost 1.81 QUIET) # libboost1.81-dev: headers only
  if(NOT Boost_FOUND)
    message(
      FATAL_ERROR
        "messenger-gateway needs the headers of Boost 1.81 or later: install "
        "Debian's libboost1.81-dev (script/bootstrap gateway does), or build "
        "without it (-DMESSENGER_BUILD_GATEWAY=OFF)")
  endif()
endif()
if(MESSENGER_BUILD_TESTS)
  find_package(doctest CONFIG REQUIRED) # doctest-dev
  # protobuf-compiler-grpc
  find_program(MESSENGER_GRPC_PYTHON_PLUGIN grpc_python_plugin REQUIRED)
  # The system's Python: the one that python3-grpcio is installed for.
  find_program(MESSENGER_PYTHON python3 HINTS /usr/bin REQUIRED)
endif()
