// The contents of a disk in memory, to be changed and tried.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "support/faulty_file_system.h"

namespace messenger::test {

// All files of a disk, by path.
using Image = std::map<std::string, std::string>;

inline Image ImageOf(const FaultyFileSystem& files) {
  Image image;
  for (const std::string& path : files.Files()) {
    image[path] = files.Contents(path);
  }
  return image;
}

inline std::shared_ptr<FaultyFileSystem> DiskWith(const Image& image) {
  auto files = std::make_shared<FaultyFileSystem>();
  for (const auto& [path, contents] : image) files->SetContents(path, contents);
  return files;
}

}  // namespace messenger::test
