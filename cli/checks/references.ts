// Values that only say where a secret is, in the words of the tools that fetch it.

const FORMS = [
  // vals
  /^(secret)?ref\+(?!echo:)[a-z0-9]+:\/\/\S+$/i,
  // Bank-Vaults
  /^(>>)?vault:[^\s#/]+\/[^\s#]*#\S+$/i,
  // 1Password, whose names may have blanks
  /^op:\/\/[^\s/][^/\n]*(\/[^/\n]+){2,3}$/i,
  // AWS
  /^arn:aws[a-z-]*:(secretsmanager|ssm):[a-z0-9-]*:\d*:[\w:/+=.@-]+$/,
  // Google Cloud
  /^(gcp:secretmanager:)?projects\/[\w-]+\/secrets\/[\w-]+(\/versions\/\w+)?$/,
  // Azure
  /^@Microsoft\.KeyVault\([^()\s]+\)$/,
  // Timoni
  /^@timoni\(runtime:\w+:\w+\)$/,
  // Berglas, Summon and others
  /^(berglas|sm|(aws|gcp)-?sm|aws-?ssm|awsps|ssm|secretsmanager|azkv|keyvault|vault):\/\/[^\s@/]+\/[^\s@]+$/,
];

/** Whether a value is nothing but a reference. */
export function isReference(text: string): boolean {
  return FORMS.some((form) => form.test(text));
}
