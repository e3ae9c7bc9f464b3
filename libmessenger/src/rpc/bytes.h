// Bytes in gRPC's buffers.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <string_view>
#include <vector>

namespace messenger::rpc {

inline std::string_view View(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

// All bytes in one piece: the buffer's own slice if it has just one, else a
// copy.
grpc::Slice Flatten(const grpc::ByteBuffer& buffer);

// The buffer's own slices.
std::vector<grpc::Slice> SlicesOf(const grpc::ByteBuffer& buffer);

// A slice that owns the string, without copying it.
grpc::Slice MakeSlice(std::string bytes);

// A buffer of one such slice.
grpc::ByteBuffer MakeBuffer(std::string bytes);

}  // namespace messenger::rpc
