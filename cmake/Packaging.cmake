# CPack: libmessenger-dev, the shared library, and messenger: one .deb for each
# component.
#   cmake --workflow --preset package
set(contact "The libmessenger authors <libmessenger@example.org>")

if(MESSENGER_PACKAGES)
  # CPack would look for them after everything is compiled.
  foreach(program IN ITEMS dpkg-shlibdeps file gzip strip)
    string(MAKE_C_IDENTIFIER "MESSENGER_${program}" variable)
    find_program(${variable} ${program})
    if(NOT ${variable})
      message(FATAL_ERROR "making Debian packages needs the program ${program}: "
                          "script/bootstrap package installs it")
    endif()
  endforeach()

  # What Debian wants of each package: a changelog of its own form.
  string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(
    WRITE "${PROJECT_BINARY_DIR}/debian/changelog"
    "messenger (${PROJECT_VERSION}) stable; urgency=medium\n\n"
    "  * This version, as CHANGELOG.md in its source says.\n\n"
    " -- ${contact}  ${now}\n")
  execute_process(
    COMMAND "${MESSENGER_gzip}" --best --no-name --force changelog
    WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/debian" COMMAND_ERROR_IS_FATAL ANY)
  foreach(component IN ITEMS development programs shared)
    install(
      FILES "${PROJECT_BINARY_DIR}/debian/changelog.gz"
      DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/${package_of_${component}}"
      COMPONENT ${component})
  endforeach()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME messenger)
set(CPACK_PACKAGE_VENDOR "The libmessenger authors")
set(CPACK_PACKAGE_CONTACT "${contact}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY
    "ordered message log served over gRPC, and its client")
set(CPACK_COMPONENTS_ALL development programs)
if(MESSENGER_SHARED)
  list(APPEND CPACK_COMPONENTS_ALL shared)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
# Whatever the umask of who makes them.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ
    OWNER_WRITE
    OWNER_EXECUTE
    GROUP_READ
    GROUP_EXECUTE
    WORLD_READ
    WORLD_EXECUTE)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME ${package_of_development})
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
    "ordered message log served over gRPC (development files)
 Headers, the library as an archive and as a shared one, protocol buffer
 definitions, and the CMake and pkg-config files to build programs with
 libmessenger.")
# What messengerConfig.cmake and messenger.pc find; gRPC's own CMake files insist
# on the code generators.
set(development_depends libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev
                        protobuf-compiler libabsl-dev libfmt-dev libssl-dev)
if(MESSENGER_SHARED)
  list(APPEND development_depends
       "${package_of_shared} (= ${PROJECT_VERSION})")
endif()
list(JOIN development_depends ", " CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS)

set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME ${package_of_programs})
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PROGRAMS_DESCRIPTION
    "ordered message log served over gRPC (server, client and HTTP gateway)
 messenger-server keeps channels of messages, each an ordered log that readers
 follow live or replay from any point; messenger-cli sends, reads and inspects
 them; messenger-gateway serves them over HTTP, to browsers and scripts.")
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SHLIBDEPS ON)

set(CPACK_DEBIAN_SHARED_PACKAGE_NAME ${package_of_shared})
set(CPACK_DEBIAN_SHARED_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_SHARED_DESCRIPTION
    "ordered message log served over gRPC (shared library)
 Holds the log, the server and the client, for programs that link it instead of
 its archive.")
set(CPACK_DEBIAN_SHARED_PACKAGE_SHLIBDEPS ON)
file(WRITE "${PROJECT_BINARY_DIR}/debian/triggers"
     "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_SHARED_PACKAGE_CONTROL_EXTRA
    "${PROJECT_BINARY_DIR}/debian/triggers")
# What programs that link it depend on.
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")

include(CPack)
