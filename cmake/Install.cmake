# What `cmake --install` puts where, in two components: development (headers,
# archive, proto, CMake and pkg-config files) and programs.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/messenger")
set(proto_dir "${CMAKE_INSTALL_DATADIR}/messenger/proto")

install(
  TARGETS messenger
  EXPORT messengerTargets
  ARCHIVE COMPONENT development
  FILE_SET HEADERS COMPONENT development)
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
configure_file("${CMAKE_CURRENT_LIST_DIR}/messenger.pc.in"
               "${PROJECT_BINARY_DIR}/messenger.pc" @ONLY)
install(
  FILES "${PROJECT_BINARY_DIR}/messenger.pc"
  DESTINATION "${pc_dir}"
  COMPONENT development)

if(MESSENGER_BUILD_APPS)
  install(TARGETS messenger-server messenger-cli RUNTIME COMPONENT programs)
endif()

# Debian's place for a package's licence.
install(
  FILES "${PROJECT_SOURCE_DIR}/LICENSE"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/libmessenger-dev"
  RENAME copyright
  COMPONENT development)
install(
  FILES "${PROJECT_SOURCE_DIR}/LICENSE"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/messenger"
  RENAME copyright
  COMPONENT programs)
