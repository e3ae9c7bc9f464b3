// The chat page: the files in page/, which are in the program. The handlers are
// GetPage and GetPageFile.
#pragma once

#include <span>
#include <string_view>

namespace messenger::app {

struct PageFile {
  std::string_view name;
  std::string_view content_type;
  std::string_view etag;  // with its quotation marks
  std::string_view body;
};

extern const std::span<const PageFile> kPageFiles;

}  // namespace messenger::app
