// Seals and opens hybrid envelopes with Go's crypto/hpke, as SPEC.md says. Reads a JSON array of
// {"seed", "label", "value"} to seal or {"seed", "label", "envelope"} to open, all base64, and prints
// an array of {"envelope"}, {"value"} or {"error"}.
package main

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"os"
)

const encapsulated = 1120

type question struct {
	Seed, Label, Value, Envelope []byte
}

type answer struct {
	Envelope []byte  `json:"envelope,omitempty"`
	Value    *[]byte `json:"value,omitempty"`
	Error    string  `json:"error,omitempty"`
}

func padded(length int) int {
	if length <= 64 {
		return 64
	}
	exponent := bits.Len(uint(length)) - 1
	low := exponent - bits.Len(uint(exponent))
	mask := 1<<low - 1
	return (length + mask) &^ mask
}

func head(key hpke.PublicKey) []byte {
	id := sha256.Sum256(key.Bytes())
	return append([]byte{0x3d, 0x0d, 0x40, 0}, id[:8]...)
}

func aad(head, label []byte) []byte {
	all := append(bytes.Clone(head), 0, 0)
	binary.BigEndian.PutUint16(all[len(head):], uint16(len(label)))
	return append(all, label...)
}

var info = []byte("kube-signet/value/1")

func seal(key hpke.PublicKey, label, value []byte) ([]byte, error) {
	start := head(key)
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, padded(len(value)+1))
	copy(plain, value)
	plain[len(value)] = 0x80
	body, err := sender.Seal(aad(start, label), plain)
	return bytes.Join([][]byte{start, enc, body}, nil), err
}

func open(key hpke.PrivateKey, label, envelope []byte) ([]byte, error) {
	start := head(key.PublicKey())
	if len(envelope) < len(start)+encapsulated || !bytes.HasPrefix(envelope, start) {
		return nil, errors.New("not an envelope of this key")
	}
	enc := envelope[len(start) : len(start)+encapsulated]
	recipient, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, err
	}
	plain, err := recipient.Open(aad(start, label), envelope[len(start)+encapsulated:])
	if err != nil {
		return nil, err
	}
	value := bytes.TrimRight(plain, "\x00")
	if !bytes.HasSuffix(value, []byte{0x80}) || padded(len(value)) != len(plain) {
		return nil, errors.New("other padding")
	}
	return value[:len(value)-1], nil
}

func ask(asked question) (given answer) {
	key, err := hpke.MLKEM768X25519().NewPrivateKey(asked.Seed)
	if err == nil && asked.Envelope == nil {
		given.Envelope, err = seal(key.PublicKey(), asked.Label, asked.Value)
	} else if err == nil {
		var value []byte
		if value, err = open(key, asked.Label, asked.Envelope); err == nil {
			given.Value = &value
		}
	}
	if err != nil {
		given.Error = err.Error()
	}
	return given
}

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := make([]answer, len(questions))
	for i, each := range questions {
		answers[i] = ask(each)
	}
	_ = json.NewEncoder(os.Stdout).Encode(answers)
}
