# messenger_embed_files(<out> <template> <file>...): makes <out>, C++, of the
# template, with a row for each file in @MESSENGER_FILES@: its name, its type, a
# tag that changes with its bytes, and its bytes. It is made again when one of
# them changes.
function(messenger_embed_files out template)
  set(files)
  foreach(file IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH file)
    list(APPEND files "${file}")
  endforeach()
  list(LENGTH files count)
  cmake_path(ABSOLUTE_PATH template)
  set(script "${CMAKE_CURRENT_FUNCTION_LIST_FILE}")
  add_custom_command(
    OUTPUT "${out}"
    COMMAND "${CMAKE_COMMAND}" "-DOUT=${out}" "-DTEMPLATE=${template}"
            "-DFILES=${files}" -P "${script}"
    DEPENDS ${files} "${template}" "${script}"
    COMMENT "Embedding ${count} files"
    VERBATIM)
endfunction()

if(NOT CMAKE_SCRIPT_MODE_FILE)
  return()
endif()

set(type_of_html "text/html; charset=utf-8")
set(type_of_css "text/css; charset=utf-8")
set(type_of_js "text/javascript; charset=utf-8")
set(type_of_svg "image/svg+xml")

set(MESSENGER_FILES)
foreach(file IN LISTS FILES)
  cmake_path(GET file FILENAME name)
  cmake_path(GET file EXTENSION LAST_ONLY extension)
  string(SUBSTRING "${extension}" 1 -1 extension)
  if(NOT DEFINED type_of_${extension})
    message(FATAL_ERROR "${name}: no Content-Type is known for it")
  endif()
  file(READ "${file}" bytes)
  string(FIND "${bytes}" ")--file--\"" end)
  if(NOT end EQUAL -1)
    message(FATAL_ERROR "${name}: contains what ends the literal")
  endif()
  file(SHA256 "${file}" tag)
  string(SUBSTRING "${tag}" 0 16 tag)
  string(
    APPEND
    MESSENGER_FILES
    "    {\"${name}\", \"${type_of_${extension}}\", R\"(\"${tag}\")\",\n     R\"--file--(${bytes})--file--\"},\n"
  )
endforeach()
configure_file("${TEMPLATE}" "${OUT}" @ONLY)
