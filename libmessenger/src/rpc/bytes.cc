#include "rpc/bytes.h"

#include <utility>

namespace messenger::rpc {

grpc::Slice Flatten(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (!buffer.TrySingleSlice(&slice).ok()) {
    // Fails only for a buffer that holds nothing.
    static_cast<void>(buffer.DumpToSingleSlice(&slice));
  }
  return slice;
}

std::vector<grpc::Slice> SlicesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  // Fails only for a buffer that holds nothing.
  static_cast<void>(buffer.Dump(&slices));
  return slices;
}

grpc::Slice MakeSlice(std::string bytes) {
  auto* const owned = new std::string(std::move(bytes));
  return {owned->data(), owned->size(),
          [](void* string) { delete static_cast<std::string*>(string); },
          owned};
}

grpc::ByteBuffer MakeBuffer(std::string bytes) {
  const grpc::Slice slice = MakeSlice(std::move(bytes));
  return {&slice, 1};
}

}  // namespace messenger::rpc
