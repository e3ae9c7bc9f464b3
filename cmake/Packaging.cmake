# CPack: libmessenger-dev and messenger, one .deb for each component.
#   cmake --workflow --preset package
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME messenger)
set(CPACK_PACKAGE_VENDOR "The libmessenger authors")
set(CPACK_PACKAGE_CONTACT "The libmessenger authors <messenger@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_COMPONENTS_ALL development programs)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmessenger-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
    "ordered message log served over gRPC (development files)
 Headers, static library, protocol buffer definitions, and the CMake and
 pkg-config files to build programs with libmessenger.")
# What messengerConfig.cmake and messenger.pc find; gRPC's own CMake files insist
# on the code generators.
set(development_depends libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev
                        protobuf-compiler libabsl-dev libfmt-dev)
list(JOIN development_depends ", " CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS)

set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME messenger)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PROGRAMS_DESCRIPTION
    "ordered message log served over gRPC (server and command line client)
 messenger-server keeps channels of messages, each an ordered log that readers
 follow live or replay from any point; messenger-cli sends, reads and inspects
 them.")
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SHLIBDEPS ON)

include(CPack)
