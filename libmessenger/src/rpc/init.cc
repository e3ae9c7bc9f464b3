#include "rpc/init.h"

#include <grpc/grpc.h>

namespace messenger::rpc {

void KeepInitialized() {
  static const bool kDone = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(kDone);
}

}  // namespace messenger::rpc
