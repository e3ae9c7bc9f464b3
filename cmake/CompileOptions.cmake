# Options for our own targets: linked PRIVATE, never exported.
add_library(messenger_compile_options INTERFACE)
target_compile_features(messenger_compile_options INTERFACE cxx_std_20)
target_compile_options(
  messenger_compile_options
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wconversion
            -Wsign-conversion
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wold-style-cast
            -Wextra-semi
            -Wnull-dereference
            -Wundef
            # Designated initializers leave the rest at their defaults.
            -Wno-missing-field-initializers
            $<$<BOOL:${MESSENGER_WARNINGS_AS_ERRORS}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees null dereferences and overlapping copies inside inlined library
  # headers that are not there (GCC bugs 105329, 105651).
  target_compile_options(messenger_compile_options
                         INTERFACE -Wno-null-dereference -Wno-restrict)
  if(CMAKE_UNITY_BUILD)
    # It takes the files of a batch for headers.
    target_compile_options(messenger_compile_options
                           INTERFACE -Wno-subobject-linkage)
  endif()
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # Checks ABSL_GUARDED_BY and its kin.
  target_compile_options(messenger_compile_options INTERFACE -Wthread-safety)
endif()
