// A Kubernetes KMS v2 plugin for tests: the real service of k8s.io/kms on a unix socket, over AES-GCM.
//
//	kms-plugin SOCKET KEYS
//
// KEYS is a file of keys in hexadecimal, one a line; the last one encrypts, all of them decrypt. It is
// read at each call, so that a test rotates and revokes keys by writing it.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/kms/pkg/service"
)

const annotation = "version.kms-plugin.test"

type plugin struct{ file string }

func (p plugin) keys() ([]cipher.AEAD, error) {
	text, err := os.ReadFile(p.file)
	if err != nil {
		return nil, err
	}
	var keys []cipher.AEAD
	for _, line := range strings.Fields(string(text)) {
		key, err := hex.DecodeString(line)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, aead)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key")
	}
	return keys, nil
}

func (p plugin) Encrypt(_ context.Context, _ string, data []byte) (*service.EncryptResponse, error) {
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, 12)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return &service.EncryptResponse{
		Ciphertext:  keys[len(keys)-1].Seal(nonce, nonce, data, nil),
		KeyID:       fmt.Sprintf("key-%d", len(keys)),
		Annotations: map[string][]byte{annotation: []byte("1")},
	}, nil
}

func (p plugin) Decrypt(_ context.Context, _ string, request *service.DecryptRequest) ([]byte, error) {
	if string(request.Annotations[annotation]) != "1" {
		return nil, errors.New("the annotation of Encrypt is missing")
	}
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if request.KeyID != fmt.Sprintf("key-%d", i+1) || len(request.Ciphertext) < 12 {
			continue
		}
		return key.Open(nil, request.Ciphertext[:12], request.Ciphertext[12:], nil)
	}
	return nil, errors.New("no such key")
}

func (p plugin) Status(context.Context) (*service.StatusResponse, error) {
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: fmt.Sprintf("key-%d", len(keys))}, nil
}

func main() {
	server := service.NewGRPCService(os.Args[1], time.Minute, plugin{file: os.Args[2]})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		server.Shutdown()
	}()
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
