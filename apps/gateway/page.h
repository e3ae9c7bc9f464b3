// The chat page: the files in page/, which are in the program. The handlers are
// GetPage and GetPageFile.
#pragma once

#include <span>
#include <string_view>

#include "gateway/http.h"

namespace messenger::app {

struct PageFile {
  std::string_view name;
  std::string_view content_type;
  std::string_view etag;  // with its quotation marks
  std::string_view body;
};

extern const std::span<const PageFile> kPageFiles;

// Null if there is no file of this name.
const PageFile* FindPageFile(std::string_view name);

// The file, or 304 if whoever asks has it already. Its headers let nothing run
// or load that is not a file of the page, and nobody show it in a frame.
Response PageResponse(const PageFile& file, const Headers& request);

}  // namespace messenger::app
