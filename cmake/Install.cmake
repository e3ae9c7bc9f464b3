# What `cmake --install` puts where, in three components: development (headers,
# archive, proto, CMake and pkg-config files), shared (the shared library) and
# programs.
include(CMakePackageConfigHelpers)

set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/messenger")
set(proto_dir "${CMAKE_INSTALL_DATADIR}/messenger/proto")

install(
  TARGETS messenger
  EXPORT messengerTargets
  ARCHIVE COMPONENT development
  FILE_SET HEADERS COMPONENT development)
if(MESSENGER_SHARED)
  install(
    TARGETS messenger_shared
    EXPORT messengerTargets
    LIBRARY COMPONENT shared NAMELINK_COMPONENT development)
endif()
install(
  EXPORT messengerTargets
  NAMESPACE messenger::
  DESTINATION "${config_dir}"
  COMPONENT development)
install(
  FILES "${PROJECT_SOURCE_DIR}/proto/messenger/v1/messenger.proto"
  DESTINATION "${proto_dir}/messenger/v1"
  COMPONENT development)

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/messengerConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/messengerConfig.cmake"
  INSTALL_DESTINATION "${config_dir}"
  PATH_VARS proto_dir)
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/messengerConfigVersion.cmake"
  # While the major version is 0, a new minor one may break.
  COMPATIBILITY SameMinorVersion)
install(
  FILES "${PROJECT_BINARY_DIR}/messengerConfig.cmake"
        "${PROJECT_BINARY_DIR}/messengerConfigVersion.cmake"
  DESTINATION "${config_dir}"
  COMPONENT development)

# Relative to where it lies, so that the prefix can be chosen when installing.
set(pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH prefix_from_pc "/${pc_dir}" "/")
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
set(pc_files messenger.pc)
if(MESSENGER_SHARED)
  list(APPEND pc_files messenger-shared.pc)
endif()
foreach(pc IN LISTS pc_files)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${pc}.in"
                 "${PROJECT_BINARY_DIR}/${pc}" @ONLY)
  install(
    FILES "${PROJECT_BINARY_DIR}/${pc}"
    DESTINATION "${pc_dir}"
    COMPONENT development)
endforeach()

if(MESSENGER_BUILD_APPS)
  set(programs messenger-server messenger-cli)
  if(MESSENGER_BUILD_GATEWAY)
    list(APPEND programs messenger-gateway)
  endif()
  install(TARGETS ${programs} RUNTIME COMPONENT programs)
endif()

# Debian's names of the packages that the components become, and its place for
# their licence. Debian has the text of that itself.
set(package_of_development libmessenger-dev)
set(package_of_programs messenger)
set(package_of_shared
    libmessenger${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(licence "${PROJECT_SOURCE_DIR}/LICENSE")
if(MESSENGER_PACKAGES)
  set(licence "${CMAKE_CURRENT_LIST_DIR}/debian_copyright")
endif()
foreach(component IN ITEMS development programs shared)
  if(component STREQUAL "shared" AND NOT MESSENGER_SHARED)
    continue()
  endif()
  install(
    FILES "${licence}"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/${package_of_${component}}"
    RENAME copyright
    COMPONENT ${component})
endforeach()
