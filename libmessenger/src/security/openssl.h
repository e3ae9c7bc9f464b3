// Objects of OpenSSL that somebody owns. For .cc files of this directory.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>

namespace messenger {

template <auto kFree>
struct FreeBy {
  template <typename T>
  void operator()(T* value) const {
    kFree(value);
  }
};
using MemoryBio = std::unique_ptr<BIO, FreeBy<BIO_free_all>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, FreeBy<X509_free>>;

}  // namespace messenger
